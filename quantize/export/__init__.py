"""One checkpoint, one emission per runtime dialect."""

"""codriver as a service: cameras in, answers to whoever the file names, a bundle exchanged while it runs."""

"""One live camera: opened as asked, read in a thread of its own, each frame with the time at which it was taken."""

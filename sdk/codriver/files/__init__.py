"""Read files safely, write them whole or not at all."""

"""From logits, and what was seen, to answers that say how far they can be trusted."""

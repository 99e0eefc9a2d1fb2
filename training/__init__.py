"""Full precision: data, model, losses, training, evaluation. Leaves a run folder behind."""

"""Full precision: data, model, losses, training, evaluation. Leaves a run folder behind."""

from workshop.needs import need_numpy

need_numpy("training")

"""What each kind of task brings: label geometry, loss, answer, constant answer, metric."""

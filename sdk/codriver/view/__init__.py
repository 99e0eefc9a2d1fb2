"""Pictures of what codriver sees and answers: one instant (`LiveView`), one clip (`Sheet`)."""

from codriver.view.live import LiveView

__all__ = ["LiveView"]

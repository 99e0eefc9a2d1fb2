"""Pictures of what codriver sees and answers: an instant (`LiveView`), a run (`Record`, `draw_sheet`)."""

from codriver.view.live import LiveView
from codriver.view.record import Record
from codriver.view.sheet import About, draw_sheet

__all__ = ["About", "LiveView", "Record", "draw_sheet"]

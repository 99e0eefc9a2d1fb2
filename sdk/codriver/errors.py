"""Every error that codriver raises on purpose.

Each message says what came, what was expected and what to do. `code` says the same to programs: a short text that
stays when a message is worded anew. docs/trust.md lists those of bundles and graphs.
"""


class CodriverError(Exception):
    """Root of all errors raised on purpose."""

    code = "error"  # of the class; an error with a reason of its own overrides it

    def __init__(self, *args: object, code: str | None = None) -> None:
        super().__init__(*args)
        if code is not None:
            self.code = code


class FrameError(CodriverError, ValueError):
    """A frame, a driver's box or keypoints, or a time that cannot be used; the perceiver's state is untouched.

    view: whose frame it is, None if it is none's: step again without that view, and the others are answered for.
    """

    def __init__(self, message: str, view: str | None = None) -> None:
        super().__init__(message)
        self.view = view

    code = "frame"


class SourceError(CodriverError):
    """Footage that cannot be read: a clip, a video file, a camera."""

    code = "source"


class BundleError(CodriverError):
    """A bundle that is missing, incomplete, changed, or written by another version."""

    code = "bundle"


class SignatureError(BundleError):
    """A bundle whose signature is missing or wrong."""

    code = "signature"


class EngineError(CodriverError):
    """The runtime refused a graph, or failed while running it."""

    code = "engine"


class BackendMissing(EngineError):
    """The runtime that a bundle needs is not installed."""

    code = "backend-missing"


class ConfigError(CodriverError, ValueError):
    """A setting that cannot be meant."""

    code = "config"

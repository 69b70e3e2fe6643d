"""The errors that a user can correct. Each message is one line: the value, what is allowed, and what to do next."""


class UserError(ValueError):
    """An error that a user can correct. Its message is one line: the value, what is allowed, and what to do next."""


class ConfigError(UserError):
    """A value of Config, or a field of it, that cannot be used."""


class TrainingError(UserError):
    """A run that cannot start or go on."""


class DistributedError(UserError):
    """Processes that cannot be joined to one run."""


class CheckpointError(UserError):
    """A file that is no usable checkpoint, or a checkpoint that cannot be written."""


class DataError(UserError):
    """Images, or a request for images, that cannot be used."""


class EmbedError(UserError):
    """Features that cannot be mapped, or a run that cannot be recorded."""


class ExportError(UserError):
    """An encoder that cannot be written in the format of another library."""


class GuestError(UserError):
    """A pretrained encoder that is unknown or cannot be loaded."""


class WeightsError(UserError):
    """A file of weights that cannot be read, or that belongs to another network."""


class DivergedError(TrainingError):
    """A run whose loss or weights are no longer finite."""


class SessionError(UserError):
    """A command that a session cannot carry out in its present state."""


class ExperimentError(UserError):
    """A text that describes no experiment, or one with another kind of data."""


class LaboratoryError(UserError):
    """A command that a laboratory cannot carry out in its present state."""


class RunError(UserError):
    """A run folder that cannot be written or read."""


class WriteError(UserError):
    """A file that cannot be written."""

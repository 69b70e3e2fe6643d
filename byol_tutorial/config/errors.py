"""What can go wrong by a user's doing, each with one line: the value, what is allowed, and what to do next."""


class UserError(ValueError):
    """Something a user can mend. One line: what it is about, what is allowed, what to do next."""


class ConfigError(UserError):
    """A value that cannot be used: the message names it, what is allowed, and what to do next."""


class TrainingError(UserError):
    """A run that cannot start or go on."""


class DistributedError(UserError):
    """Processes that cannot be joined."""


class CheckpointError(UserError):
    """A file that is no usable checkpoint, or that cannot be written."""


class DataError(UserError):
    """Data that cannot be used: the message names it, what is allowed, and what to do next."""


class EmbedError(UserError):
    """Features that cannot be mapped, or a run that cannot be recorded."""


class GuestError(UserError):
    """An encoder that cannot be had."""


class WeightsError(UserError):
    """A file of weights that cannot be read, or is another network's."""


class DivergedError(TrainingError):
    """Loss or weights are no longer finite."""


class SessionError(UserError):
    """An order that this session cannot carry out as it stands."""


class ExperimentError(UserError):
    """A text that is no experiment, or one of another kind of data."""


class LaboratoryError(UserError):
    """An order that a laboratory cannot carry out as it stands."""


class RunError(UserError):
    """A run folder that cannot be written or read."""

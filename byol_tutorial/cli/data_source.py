"""The choice of images for a run: `train` writes it to settings.json; resume, evaluate and embed read it there."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from ..config.user_text import user_path
from ..data.folder import NoTestImages
from ..data.image_set import ImageSet
from ..data.loading import load
from ..data.request import HOLDOUT
from ..data.streaming import StreamedSet
from ..data.value_range import Scale
from ..runtime.distributed import main_first

Images = ImageSet | StreamedSet


@dataclass(frozen=True)
class DataSource:
    """A choice of images: those arguments of `data.load`, explained there, that are the same for train and test images.

    `load` checks the values.
    """

    name: str
    size: int | None = None
    limit: int | None = None
    corrupt: str = "refuse"
    stream: bool | None = None
    labels: str = "auto"
    holdout: float = HOLDOUT
    value_range: Scale = None
    channels: int | None = None
    bits: int | None = None

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the source that `to_dict` described. Fields that older files do not have take their defaults.

        Folders were read as 8-bit RGB before there were `channels` and `bits`.

        Raises:
            TypeError: the content is not a dictionary, has no name, or has a field that does not exist.
        """
        source = cls(**content)
        if "bits" not in content and str(source.name).startswith("folder:"):
            source = replace(source, channels=3, bits=8)
        if isinstance(pair := content.get("value_range"), list):  # JSON has no tuples
            source = replace(source, value_range=tuple(pair))
        if not isinstance(source.name, str):
            raise TypeError(f"name={source.name!r} is not a string")
        return source

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as JSON can hold them."""
        return asdict(self)

    @property
    def short_name(self) -> str:
        """The name of the data set, or of the folder without the path to it."""
        return self.name.removeprefix("folder:").rstrip("/\\").replace("\\", "/").split("/")[-1]

    def absolute(self) -> Self:
        """Return the same source with the whole path of its folder, so that it can be read from anywhere."""
        path = self.name.removeprefix("folder:")
        return self if path == self.name else replace(self, name=f"folder:{user_path(path).absolute()}")

    def differences(self, options: dict[str, Any]) -> list[str]:
        """Return the names of those options that ask for other images than these."""
        own, asked = self.absolute(), replace(self, **options).absolute()
        return [f.name for f in fields(self) if getattr(own, f.name) != getattr(asked, f.name)]

    def load(self) -> tuple[Images, Images | None]:
        """Return train and test images. The latter are None for a folder without test images and too small to be divided.

        If several processes train together, the main process loads first, since it may have to download.

        Raises:
            DataError: as `data.load`.
        """
        options: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        with main_first():
            train = load(split="train", **options)
            try:
                return train, load(split="test", **options)
            except NoTestImages:
                return train, None

# JupyterLab as `make lab` starts it: it asks no other host for news, for newer versions or for extensions, and shows the
# lessons with the styles of custom/custom.css.
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # JupyterLab defines it where it reads this file
    from traitlets.config import get_config

c = get_config()
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.LabApp.app_settings_dir = str(Path(__file__).parent)  # nor does it offer to ask for them
c.LabApp.custom_css = True
c.ServerApp.tornado_settings = {"static_custom_path": [str(Path(__file__).parent / "custom")]}

# JupyterLab as `make lab` starts it: it asks no other host for news, for newer versions or for extensions.
from pathlib import Path

c = get_config()  # noqa: F821 (JupyterLab defines it where it reads this file)
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.LabApp.app_settings_dir = str(Path(__file__).parent)  # nor does it offer to ask for them

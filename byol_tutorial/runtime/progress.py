"""Whether a progress bar is shown. TQDM_DISABLE=1 hides all, also in notebooks, where tqdm ignores it."""

import os


def hidden(progress: bool) -> bool:
    """Return the value of tqdm's `disable`: True if `progress` is off or TQDM_DISABLE is set."""
    return not progress or os.environ.get("TQDM_DISABLE", "") not in ("", "0")

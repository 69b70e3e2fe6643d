"""Whether a progress bar is shown. TQDM_DISABLE=1 hides all of them, in notebooks too, where tqdm itself does not look."""

import os


def hidden(progress: bool) -> bool:
    """tqdm's `disable`: the caller wants no bar, or the environment does not."""
    return not progress or os.environ.get("TQDM_DISABLE", "") not in ("", "0")

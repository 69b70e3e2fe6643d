"""What the explorer says about each of its parts on hover and focus: a sentence, an equation, and the lesson to read."""

from ..explained import explained

CROP = "s = √(area · ratio) wide, √(area / ratio) tall"
TEXTS = {  # part: (what it is and does, equation or "", number of the lesson)
    "crop_area": ("Sets the share of the picture that a view shows, drawn evenly between these two. Small crops share less.", CROP, "2"),
    "crop_ratio": ("Sets width over height of the crop, drawn evenly on a logarithmic scale. Far from 1, shapes are stretched.", CROP, "2"),
    "flip_p": ("Sets how often a view is mirrored, so that left and right are exchanged.", "x(i, j) → x(i, s − 1 − j)", "2"),
    "vertical_flip_p": ("Sets how often a view is turned upside down. This suits images from above.", "x(i, j) → x(s − 1 − i, j)", "7"),
    "quarter_turn_p": ("Sets how often a view is turned by 90°, 180° or 270°. This suits images from above.", "", "7"),
    "jitter_p": ("Sets how often brightness, contrast, saturation and hue are changed. At 0 both views keep the picture's colours.", "", "2"),
    "brightness": ("Multiplies all values by a random factor.", "x → b x,  b ~ U(1 − strength, 1 + strength)", "2"),
    "contrast": ("Moves values away from the mean brightness of the view, or towards it.", "x → m + c (x − m)", "2"),
    "saturation": ("Moves colours away from their own grey, or towards it.", "x → g(x) + a (x − g(x))", "2"),
    "hue": ("Turns the colour circle. At 0.5 every hue is equally likely, so the hue of one view tells nothing about the other.", "h → h + δ,  δ ~ U(−strength, strength)", "2"),
    "colour_form": ("Chooses whether colours change as in torchvision, or as in the published code of the paper.", "", "2"),
    "grayscale_p": ("Sets how often a view loses its colours.", "g = 0.299 R + 0.587 G + 0.114 B", "2"),
    "blur_p": ("Sets how often a view is blurred.", "x → x ∗ N(0, σ²)", "2"),
    "blur_sigma": ("Sets the smallest and the largest width of the blur, in pixels of a view.", "x → x ∗ N(0, σ²)", "2"),
    "solarize_p": ("Sets how often bright values are inverted. In the paper only T′ does so.", "x → 1 − x where x ≥ 0.5", "2"),
    "link": ("Draws both views from T, so that one slider sets both. Switch it off to give T′ its own settings.", "v = t(x), t ~ T;  v′ = t′(x), t′ ~ T′", "2"),
    "chain": ("Shows what happened to this view, from left to right. Pale pictures were not changed. Click another pair to see its steps.", "v = t(x)", "2"),
    "shared": ("Here is one view. Which of two others is its partner? Each description picks the closer one: 100 % means that it always "
               "picks the partner, 0 % that it does no better than a coin. What two views share, BYOL can learn without looking at the shape.", "", "2"),
    "many": ("Draws each pair from another picture, instead of eight pairs from one.", "", "2"),
    "seed": ("Sets the random numbers of the eight pairs. The same seed gives the same views.", "", "2"),
    "recipe": ("Sets T and T′ at once; the last two only switch operations off.", "", "2"),
    "code": ("Gives one line of Python with these settings.", "", "7"),
}  # fmt: skip


def explanations() -> dict[str, dict[str, str]]:
    """Return what the panel says about each of its parts."""
    return explained(TEXTS)

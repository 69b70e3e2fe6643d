"""What the panel says about each of its parts on hover and focus: a sentence, an equation, and the lesson to read."""

from ..explained import explained

# part: (what it is and does, equation or "", number of the lesson)
TEXTS: dict[str, tuple[str, str, str]] = {
    # controls
    "tau_base": (
        "Sets how slowly the target network follows the online one. At 0 it is the online network; at 1 it never moves. τ rises "
        "to 1 along a cosine, so late in a run this slider changes little.",
        "ξ ← τ ξ + (1 − τ) θ",
        "5",
    ),
    "predictor": (
        "Chooses the small network that predicts the target's projection from the online one. With identity there is none, and a "
        "constant answer is the easiest way to a small loss.",
        "p = q(z),  L = ‖p/‖p‖ − z′/‖z′‖‖²",
        "4",
    ),
    "target": (
        "Chooses where z′ comes from: a moving average of the online network (ema), the online network itself, or a random network "
        "that stays fixed.",
        "z′ = g_ξ(f_ξ(v′))",
        "5",
    ),
    "stop_gradient": (
        "No gradient flows through z′. Without this stop, both branches are pulled towards each other and meet in one point.",
        "∇L through θ in p alone; z′ is a constant",
        "4",
    ),
    "symmetric": ("Also computes the loss with the two views exchanged, and adds both.", "L(v, v′) + L(v′, v)", "3"),
    "negatives_weight": (
        "Sets how strongly different images push each other apart: 0 is BYOL, 1 is InfoNCE.",
        "L = L_pull + β · L_push",
        "6",
    ),
    "negatives": ("Decides whether the other images of the batch push this one away. Without them SimCLR collapses.", "", "6"),
    "temperature": ("Divides the cosines of the negatives: with a small α only the nearest images count.", "exp(cos / α)", "6"),
    "centering": ("Chooses what keeps one prototype of DINO from taking all images.", "scores − c", "10"),
    "center_momentum": ("Sets how slowly the centre follows the mean score.", "c ← m c + (1 − m) · mean score", "10"),
    "teacher_temperature": ("Sets the temperature of the teacher's softmax. It sharpens if it is lower than the student's.", "softmax((s − c)/τ_t)", "10"),
    "student_temperature": ("Sets the temperature of the student's softmax.", "softmax(s/τ_s)", "10"),
    "koleo_weight": ("Sets the weight of KoLeo, which keeps the nearest neighbours of a batch apart.", "−mean log min ‖z_i − z_j‖", "10"),
    "lr": (
        "Sets the base learning rate of the optimiser. It rises in the warm-up and then falls to 0 along a cosine. Too high a rate "
        "destroys the information of the random features, though the spread may stay.",
        "η_k = lr · B/256 · schedule(k)",
        "7",
    ),
    "predictor_lr_multiplier": (
        "Multiplies the predictor's learning rate. A predictor that is nearly optimal all the time keeps the "
        "representation from collapsing.",
        "η_q = multiplier · η",
        "4",
    ),
    "weight_decay": ("Pulls every weight towards 0, except biases and normalisation.", "w ← w − η (∇L + λ w)", "7"),
    "crop_area": ("Sets the smallest part of the image that a view may show. What two crops do not share cannot be learned.", "v = t(x),  t ~ T", "2"),
    "hue": ("Sets the largest change of hue in a view. Without changes of colour, colour alone tells images apart.", "v = t(x),  t ~ T", "2"),
    "brightness": ("Sets the largest change of brightness in a view.", "v = t(x),  t ~ T", "2"),
    "contrast": ("Sets the largest change of contrast in a view.", "v = t(x),  t ~ T", "2"),
    "saturation": ("Sets the largest change of saturation in a view.", "v = t(x),  t ~ T", "2"),
    "grayscale_p": ("Sets the probability that a view has no colour.", "v = t(x),  t ~ T", "2"),
    "blur_p": ("Sets the probability that a view is blurred.", "v = t(x),  t ~ T", "2"),
    "solarize_p": ("Sets the probability that bright values of a view are inverted.", "v = t(x),  t ~ T", "2"),
    "batch_size": ("Sets how many images a step has; each gives two views. A change begins a new run.", "B", "6"),
    "epochs": ("Sets how often the training images are used, which is the length of all schedules. A change begins a new run.", "K = epochs · steps per epoch", "7"),
    "width": ("Sets the number of channels of the encoder's first layer. A change begins a new run.", "y = f(v)", "3"),
    "norm": ("Chooses the normalisation in the networks. A change begins a new run.", "", "5"),
    "seed": ("Decides weights, batches and views: the same seed gives the same run. A change begins a new run.", "", "8"),
    # plots, map, numbers
    "loss": (
        "Shows the loss of every step as a thin line, and its mean over twelve steps. A small loss alone tells nothing: a collapsed network "
        "has the smallest.",
        "L = 2 − 2 cos(p, z′), in both directions: 0 to 8",
        "5",
    ),
    "std": (
        "Shows how far apart the directions of the projections are: 1 if they are spread evenly over the sphere, 0 if all are the same.",
        "√d · std(z/‖z‖)",
        "5",
    ),
    "rank": (
        "Shows in how many directions the projections vary, weighted by how much they vary. It goes to 0 in a collapse.",
        "v · exp(−Σ λ_j/v · log λ_j/v)",
        "5",
    ),
    "knn": (
        "Shows how often the nearest training images, by the cosine of their representations, have the right class. The dashed "
        "line is the untrained encoder: an accuracy below it means that information was lost. Where classes are not equally frequent, "
        "balanced accuracy, the mean over the classes, is a second curve.",
        "cos(y, y_j), k = 20",
        "8",
    ),
    "map": (
        "Shows the test images by two principal components of their projections or representations. In a collapse all meet in "
        "one point.",
        "z/‖z‖",
        "9",
    ),
    "network": (
        "Shows one real image x of the last batch and its two views on their way through the networks. Beside each vector is its "
        "mean length, and beside z and z′ the spread √d·std. The gradient flows where it is orange, and the moving average is "
        "green. A part with a button is a switch, which does the same as its control and takes effect with the next step.",
        "x → v, v′ → y → z → p ⇄ z′",
        "1",
    ),
    "verdict": (
        "Shows what was measured: spread, rank, and kNN accuracy beside that of the untrained encoder. A run is judged when its "
        "warm-up is over, and a collapse as soon as the spread has fallen.",
        "collapse: √d·std < 0.1; partial: < 0.5, or rank < 1.2",
        "5",
    ),
    "state": ("Shows whether the run waits to begin (idle), is running, paused, done or failed, or the kernel has ended.", "", "3"),
    "names": ("Names the run that trains and the run that it is compared with: a run kept by a branch is dashed, a run before a reset pale.", "", "5"),
    "ask": ("Asks for your guess before a prepared run begins, and then shows it beside what happens.", "", "3"),
    "counter": ("Shows how many steps of the whole schedule were made. One epoch is one pass over the training images.", "", "7"),
    # buttons
    "play": ("Trains, or pauses after the present step.", "", "3"),
    "step": ("Makes one step, then pauses.", "θ ← θ − η ∇L,  ξ ← τ ξ + (1 − τ) θ", "3"),
    "reset": ("Goes back to step 0, with the present settings. The run so far stays as a pale curve.", "", "3"),
    "undo": ("Gives the last control its earlier value back. The steps made meanwhile stay; to remove them too, branch.", "", "3"),
    "fork": (
        "Keeps this run and goes on with a branch of it, which has one change at an earlier step. Both curves stay. "
        "Click a plot to choose the step.",
        "the same seed: until that step both are the same run",
        "5",
    ),
    "swap": ("Goes on with the other run, and keeps this one beside it.", "", "5"),
    "speed": ("Limits the steps a second, so that you can watch single steps.", "", "3"),
    "code": ("Gives one line of Python that makes this run again: config, changes, seed, steps.", "", "7"),
    "link": (
        "Copies the address of this run in the book's playground, which makes it again in the browser. Outside the book, put the "
        "book's address before it, or paste it into a playground.",
        "",
        "7",
    ),
    "picture": ("Saves what the panel shows as a PNG: plots, map, verdict and names.", "", "7"),
    "curves": ("Saves the curves as they are drawn, with a row for each step: CSV, for a spreadsheet or pandas.", "", "7"),
    "clip": ("Shows the last minute of the run again, faster, and saves it as a video.", "", "9"),
    "tour": ("Shows this panel in a minute: a run learns, you predict, and a branch of it collapses.", "", "3"),
    "preset": ("Begins a new run with the first settings and this one change.", "", "5"),
}  # fmt: skip


def explanations(parts: list[str]) -> dict[str, dict[str, str]]:
    """Return what the panel says about each of these parts that has an explanation."""
    return explained({part: TEXTS[part] for part in parts if part in TEXTS})

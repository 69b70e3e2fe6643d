"""What the panel says about each of its parts on hover and focus: a sentence, an equation, and the lesson to read."""

from ..explained import explained

# part: (what it is and does, equation or "", number of the lesson)
TEXTS: dict[str, tuple[str, str, str]] = {
    # controls
    "tau_base": (
        "How slowly the target network follows the online one. At 0 it is the online network; at 1 it never moves. τ rises "
        "to 1 along a cosine, so late in a run this slider changes little.",
        "ξ ← τ ξ + (1 − τ) θ",
        "5",
    ),
    "predictor": (
        "The small network that guesses the target's projection from the online one. Choose identity to remove it: then a "
        "constant answer is the easiest way to a small loss.",
        "p = q(z),  L = ‖p/‖p‖ − z′/‖z′‖‖²",
        "4",
    ),
    "target": (
        "Where z′ comes from: a moving average of the online network (ema), the online network itself, or a random network "
        "that stays fixed.",
        "z′ = g_ξ(f_ξ(v′))",
        "5",
    ),
    "stop_gradient": (
        "No gradient flows through z′. If it is cut, both branches are pulled towards each other and meet in one point.",
        "∇L through θ in p alone; z′ is a constant",
        "4",
    ),
    "symmetric": ("The loss is also computed with the two views exchanged, and both are added.", "L(v, v′) + L(v′, v)", "3"),
    "negatives_weight": (
        "How strongly different images push each other apart: 0 is BYOL, 1 is InfoNCE.",
        "L = L_pull + β · L_push",
        "6",
    ),
    "negatives": ("Whether the other images of the batch push this one away. Without them SimCLR collapses.", "", "6"),
    "temperature": ("Cosines of the negatives are divided by it: a small α looks at the nearest images alone.", "exp(cos / α)", "6"),
    "centering": ("What keeps one prototype of DINO from taking all images.", "scores − c", "10"),
    "center_momentum": ("How slowly the centre follows the mean score.", "c ← m c + (1 − m) · mean score", "10"),
    "teacher_temperature": ("Temperature of the teacher's softmax; lower than the student's, it sharpens.", "softmax((s − c)/τ_t)", "10"),
    "student_temperature": ("Temperature of the student's softmax.", "softmax(s/τ_s)", "10"),
    "koleo_weight": ("Weight of KoLeo, which keeps the nearest neighbours of a batch apart.", "−mean log min ‖z_i − z_j‖", "10"),
    "lr": (
        "Base learning rate of the optimiser. It rises in the warm-up and then falls to 0 along a cosine. Too high a rate "
        "destroys the information of the random features, though the spread may stay.",
        "η_k = lr · B/256 · schedule(k)",
        "7",
    ),
    "predictor_lr_multiplier": (
        "The predictor's learning rate, times the others'. A predictor that is nearly optimal all the time keeps the "
        "representation from collapsing.",
        "η_q = multiplier · η",
        "4",
    ),
    "weight_decay": ("Pulls every weight towards 0, except biases and normalisation.", "w ← w − η (∇L + λ w)", "7"),
    "crop_area": ("The smallest part of the image that a view may show. What two crops do not share cannot be learned.", "v = t(x),  t ~ T", "2"),
    "hue": ("Largest change of hue in a view. Without changes of colour, colour alone tells images apart.", "v = t(x),  t ~ T", "2"),
    "brightness": ("Largest change of brightness in a view.", "v = t(x),  t ~ T", "2"),
    "contrast": ("Largest change of contrast in a view.", "v = t(x),  t ~ T", "2"),
    "saturation": ("Largest change of saturation in a view.", "v = t(x),  t ~ T", "2"),
    "grayscale_p": ("Probability that a view has no colour.", "v = t(x),  t ~ T", "2"),
    "blur_p": ("Probability that a view is blurred.", "v = t(x),  t ~ T", "2"),
    "solarize_p": ("Probability that bright values of a view are inverted.", "v = t(x),  t ~ T", "2"),
    "batch_size": ("Images of one step; each gives two views. It begins a new run.", "B", "6"),
    "epochs": ("Passes over the training images, the length of all schedules. It begins a new run.", "K = epochs · steps per epoch", "7"),
    "width": ("Channels of the encoder's first layer. It begins a new run.", "y = f(v)", "3"),
    "norm": ("Normalisation in the networks. It begins a new run.", "", "5"),
    "seed": ("Decides weights, batches and views: the same seed gives the same run. Another one begins a new run.", "", "8"),
    # plots, map, numbers
    "loss": (
        "The loss of every step, thin, and its mean over twelve steps. A small loss alone says nothing: a collapsed network "
        "has the smallest.",
        "L = 2 − 2 cos(p, z′), in both directions: 0 to 8",
        "5",
    ),
    "std": (
        "How far apart the directions of the projections are: 1 when spread evenly over the sphere, 0 when all are the same.",
        "√d · std(z/‖z‖)",
        "5",
    ),
    "rank": (
        "In how many directions the projections vary, weighted by how much: a number that goes to 0 in a collapse.",
        "v · exp(−Σ λ_j/v · log λ_j/v)",
        "5",
    ),
    "knn": (
        "How often the nearest training images, by the cosine of their representations, have the right class. The dashed "
        "line is the untrained encoder: what lies below it has lost something. Where classes are not equally frequent, "
        "balanced accuracy, the mean over the classes, is a second curve.",
        "cos(y, y_j), k = 20",
        "8",
    ),
    "map": (
        "The test images by two principal components of their projections, or representations. In a collapse all meet in "
        "one point.",
        "z/‖z‖",
        "9",
    ),
    "network": (
        "One image x of the last batch and its two views, real, on their way through the networks; with each vector its mean "
        "length, and with z and z′ the spread √d·std. Orange is where the gradient flows, green is the moving average. A part "
        "that has a button is a switch: the same as its control, and it takes effect with the next step.",
        "x → v, v′ → y → z → p ⇄ z′",
        "1",
    ),
    "verdict": (
        "What was measured: spread, rank, and kNN accuracy beside that of the untrained encoder. A run is judged when its "
        "warm-up is over, and a collapse as soon as the spread has fallen.",
        "collapse: √d·std < 0.1; partial: < 0.5, or rank < 1.2",
        "5",
    ),
    "state": ("Whether the run waits to begin (idle), is running, paused, done or failed, or the kernel is gone.", "", "3"),
    "names": ("The run that trains, and the run that it is compared with: one kept by a branch is dashed, the one before a reset pale.", "", "5"),
    "ask": ("Before a prepared run begins, write down what you expect. Your guess is then shown beside what happens.", "", "3"),
    "counter": ("Steps made, of the whole schedule. One epoch is one pass over the training images.", "", "7"),
    # buttons
    "play": ("Train, or pause after the step that is being made.", "", "3"),
    "step": ("Make one step, then pause.", "θ ← θ − η ∇L,  ξ ← τ ξ + (1 − τ) θ", "3"),
    "reset": ("Back to step 0, with the settings as they are now. The run so far stays as a pale curve.", "", "3"),
    "undo": ("Give the last control its value back. The steps made meanwhile stay; to take them back, branch.", "", "3"),
    "fork": (
        "Keep this run and go on with a branch of it: what it would be with one change at an earlier step. Both curves stay. "
        "Click a plot to choose the step.",
        "the same seed: until that step both are the same run",
        "5",
    ),
    "swap": ("Go on with the other run, and keep this one beside it.", "", "5"),
    "speed": ("Steps a second at most, to watch single steps.", "", "3"),
    "code": ("One line of Python that makes this run again: config, changes, seed, steps.", "", "7"),
    "link": (
        "The address of this run in the book's playground, which makes it again in the browser. Outside the book, put the book's "
        "address before it, or paste it into a playground.",
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

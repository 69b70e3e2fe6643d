"""What the laboratory says about each of its parts on hover and focus; see explained.py."""

TEXTS = {  # part: (what it is and does, equation or "", number of the lesson)
    "play": ("Starts or pauses all runs. They advance together, a few steps of each in turn, in their own processes.", "", "5"),
    "reset": ("Sets all runs back to step 0, and ends their processes.", "", "5"),
    "speed": ("Sets the largest number of steps a second of each run. Make it small to watch a collapse.", "", "5"),
    "tables": ("Chooses runs of the paper's tables 5a and 5b. The runs of a table that is not shown pause.", "L = L_BYOL + β · (term of the negatives)", "6"),
    "axis": ("Chooses what the small curves show. On the logarithmic axis a collapse is a straight line downwards.", "√d · std(z/‖z‖),  L,  kNN", "5"),
    "sort": ("Sets the order of the runs: as in the paper, or by a number.", "", "5"),
    "verdict": ("Shows what was measured at the run's last step, and what it means. The spread alone does not tell that anything was learned: "
                "compare the accuracy with that of the untrained encoder.", "collapse: √d·std < 0.1", "5"),
    "numbers": ("Shows accuracies from 0 to 100 %. The diamond is the paper's linear evaluation on ImageNet, the dot the linear probe here on "
                "test images, and the line the same probe on the untrained encoder. Compare which of them learn, not the values.", "", "8"),
    "open": ("Makes a copy of this run at its present step and opens it in a cockpit below. The run here is not changed.", "", "5"),
    "code": ("Gives one line of Python that makes this run again, up to its present step.", "", "7"),
}  # fmt: skip

"""The peers of benchmarks/consensus.py: Dawid and Skene's model and MACE, of crowd-kit. Its last line is one JSON object.

Reads one JSON line per world: `rows` of [task, worker, label] in two forms. In `marks` a task is a solution and a label its first mistake.
In `steps` a task is a step that somebody read, and a label says whether it was rated negative. Answers with the label of each task, for
each form and method, with crowd-kit's defaults. With `--few` the models stop after two iterations: that shows that they run.
"""

import argparse
import json
import warnings

import numpy as np
import pandas as pd
from crowdkit.aggregation import MACE, DawidSkene

METHODS = {
    "dawid_skene": lambda: DawidSkene(n_iter=100),
    "mace": lambda: MACE(random_state=0),
}
FEW = {
    "dawid_skene": lambda: DawidSkene(n_iter=2),
    "mace": lambda: MACE(random_state=0, n_restarts=1, n_iter=2),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--few", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # of pandas, about crowd-kit
    answers = []
    with open(options.data, encoding="utf-8") as file:
        for line in file:
            world = json.loads(line)
            answer = {}
            for form, rows in world.items():
                table = pd.DataFrame(np.array(rows), columns=["task", "worker", "label"])
                for name, make in (FEW if options.few else METHODS).items():
                    labels = make().fit_predict(table)
                    answer[f"{name} of {form}"] = [[int(task), int(label)] for task, label in labels.items()]
            answers.append(answer)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()

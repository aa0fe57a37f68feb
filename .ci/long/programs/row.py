"""row.py NAME DIR...: adds up what replays found, a JSON file for each in DIR, and prints the row of a program.

The exit status is 1 if something differs without a cause by name."""

import collections
import glob
import json
import sys

name, directory, status = sys.argv[1], sys.argv[2], 0
sums, causes, wrong = collections.Counter(), collections.Counter(), []
for path in sorted(glob.glob(f"{directory}/*.json")):
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    exact, checked = report["exact"], report["checked"]
    sums["processes"] += 1
    sums["calls"] += report["trace"]["operations"]
    sums["layouts"] += exact["layouts"]
    sums["equal"] += exact["equal_layouts"]
    sums["placed"] += exact["placements"]
    sums["alike"] += exact["placed_alike"]
    causes.update(exact["explained"])
    causes.update({f"refused: {cause}": count for cause, count in exact["refused"].items()})
    causes.update({f"not recorded: {what}": count for what, count in exact["unrecorded"].items()})
    causes["aligned by the file system"] += exact["placed_by_file_system"]
    causes["no word for the operation"] += exact["unsupported"]
    if exact["ended_early"]:
        causes[f"ended early: {exact['ended_early']}"] += 1
    if not report["held"]:
        texts = [difference["text"] for difference in exact["unexplained_examples"] + report["differences"]]
        wrong.append(f"    {path}: {exact['unexplained']} without a cause: {(texts or checked['wrong_examples'] or ['?'])[0]}")
if not sums["processes"]:
    wrong.append("    nothing was replayed")
told = ", ".join(f"{cause} {count}" for cause, count in causes.items() if count) or "-"
layouts = f"{sums['equal']:,} of {sums['layouts']:,}"
placed = f"{sums['alike']:,} of {sums['placed']:,}"
print(f"| {name} | {sums['processes']} | {sums['calls']:,} | {layouts} | {placed} | {told} |")
print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
sys.exit(1 if wrong else 0)

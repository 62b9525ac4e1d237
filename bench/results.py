# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
"""The results of a run: collected from what the C programs print, read, and written as Markdown.

    {"machine": {...}, "versions": {...}, "parts": [PART, ...]}

A PART has "rows" (a figure of a subject at a work, with a value per round), "targets" (the same,
held against a limit; see targets.py) and "points" (of curves).
"""

import json
import statistics

import targets

# The order of columns; what is not named here comes after, as it appears.
SUBJECTS = [
    "codec loop lz4", "engine lz4", "zram lz4", "codec loop zstd", "engine zstd",
    "null", "null, one thread", "memory", "memory, one thread", "memory zstd", "zramswap lz4",
    "zramswap zstd", "zram lz4, told to compact", "synchronous", "batch", "whole leaf", "lz4",
    "zstd",
]


def better(unit):
    if unit.startswith(("other", "% ")) or unit == "×":
        return "neither"
    return "higher" if unit.endswith("/s") else "lower"


def summary(unit, values):
    return {"unit": unit, "better": better(unit), "median": statistics.median(values),
            "min": min(values), "max": max(values), "values": values}


def held_against(rows):
    """The targets that there are rows for."""
    values = {(row["work"], row["subject"], row["unit"]): row["values"] for row in rows}
    beside, alone = targets.HOSTILE_UNITS
    hostile = [(work, "<=", targets.HOSTILE_LIMIT, (work, subject, unit), (work, subject, alone))
               for work, subject, unit in values if unit == beside]
    found = []
    for name, op, limit, key, *reference in targets.TARGETS + hostile:
        measured, unit = values.get(key), key[2]
        if reference and measured:
            others = values.get((*reference[0], unit)[:3], [])
            measured = [a / b for a, b in zip(measured, others) if b]
            unit = "×"
        if measured:
            entry = {"name": name, "op": op, "limit": limit, **summary(unit, measured)}
            entry["met"] = entry["median"] >= limit if op == ">=" else entry["median"] <= limit
            found.append(entry)
    return found


def collect(part, lines):
    """Of the JSON lines that programs printed."""
    rows, points = {}, []
    for line in map(json.loads, lines):
        if "chart" in line:
            points.append([line["chart"], line["line"], line["x"], line["y"]])
        else:
            rows.setdefault((line["work"], line["subject"], line["unit"]), []).append(line["value"])
    rows = [{"work": work, "subject": subject, **summary(unit, values)}
            for (work, subject, unit), values in rows.items()]
    return {"part": part, "targets": held_against(rows), "rows": rows, "points": points}


def load(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
    if "parts" not in results:  # of one program of before, that was run by hand
        results = {"machine": {}, "versions": {}, "parts": [results]}
    return results


def save(results, file):
    json.dump(results, file, ensure_ascii=False, indent=1)


def number(value):
    """Three digits that matter."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        digits = len(str(int(abs(value))))
        return f"{round(value, 3 - digits):,.0f}".replace(",", " ")
    return f"{value:.3g}"


def spread(entry):
    return f"{number(entry['min'])} … {number(entry['max'])}"


def table(head, rows):
    align = ["---"] + ["---:"] * (len(head) - 1)
    return ["| " + " | ".join(line) + " |" for line in (head, align, *rows)]


def targets_table(part):
    rows = [
        [target["name"], number(target["median"]) + " " + target["unit"].split(" beyond")[0],
         spread(target), ("≥ " if target["op"] == ">=" else "≤ ") + number(target["limit"]),
         "yes" if target["met"] else "**no**"]
        for target in part["targets"]
    ]
    return table(["target", "measured", "spread", "set", "met"], rows) if rows else []


def subject_order(name):
    return SUBJECTS.index(name) if name in SUBJECTS else len(SUBJECTS)


def rows_tables(part):
    """A line per work and unit, a column per subject; one table for works of the same subjects."""
    lines = {}
    for row in part["rows"]:
        lines.setdefault((row["work"], row["unit"]), {})[row["subject"]] = row
    tables = {}
    for key, by_subject in lines.items():
        subjects = tuple(sorted(by_subject, key=subject_order))
        tables.setdefault(subjects, []).append((key, by_subject))
    text = []
    for subjects, entries in tables.items():
        text += table(
            ["work, unit", *subjects],
            [[f"{work}, {unit}"]
             + [f"{number(by_subject[name]['median'])} ({spread(by_subject[name])})"
                if len(by_subject[name]["values"]) > 1 else number(by_subject[name]["median"])
                for name in subjects]
             for (work, unit), by_subject in entries])
        text.append("")
    return text


def markdown(results):
    text = [
        "<!-- Made by bench/run; do not edit. -->",
        "# Results",
        "",
        "Median of the rounds of one run, and in brackets their smallest and largest. Ratios are made "
        "round by round. What each line means and how it is measured stands in README.md.",
        "",
    ]
    text += [f"- {key}: {value}" for key, value in results["machine"].items()]
    text += [f"- {key}: {value}" for key, value in results["versions"].items()]
    for part in results["parts"]:
        text += ["", f"## {part['part']}", "", *targets_table(part), "", *rows_tables(part)]
    return "\n".join(text).rstrip() + "\n"

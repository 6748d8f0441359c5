"""Build, transform and print a set of documents: dicts, strings, lists, JSON text and back.

Run by hakmem.programs on stock CPython. Deterministic: prints one checksum. Says ``done`` when the work is
over and waits for the end of its standard input, so that its memory can be read while it is still there.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from typing import Any

Document = dict[str, Any]

DOCUMENTS = 2500
ROUNDS = 3


def document(draw: random.Random, index: int) -> Document:
    """One order with its lines, its customer and free text."""
    lines = [
        {
            "article": f"article-{draw.randrange(5000):05d}",
            "count": draw.randrange(1, 20),
            "price": draw.randrange(100, 100000) / 100,
            "tags": [f"tag{draw.randrange(60)}" for _ in range(draw.randrange(5))],
        }
        for _ in range(draw.randrange(1, 9))
    ]
    return {
        "id": index,
        "customer": {"name": f"customer {draw.randrange(900)}", "city": f"city {draw.randrange(70)}"},
        "lines": lines,
        "note": " ".join(f"word{draw.randrange(3000)}" for _ in range(draw.randrange(3, 40))),
    }


def round_trip(documents: list[Document]) -> list[Document]:
    """Write every document as JSON text and read it back."""
    return [json.loads(text) for text in [json.dumps(item, sort_keys=True) for item in documents]]


def by_city(documents: list[Document]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Group the documents' totals by city and article."""
    groups: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for item in documents:
        city = groups.setdefault(item["customer"]["city"], {})
        for line in item["lines"]:
            city.setdefault(line["article"], []).append((item["id"], line["count"] * line["price"]))
    return groups


def words(documents: list[Document]) -> dict[str, int]:
    """Count words and tags over all documents."""
    counts: dict[str, int] = {}
    for item in documents:
        for word in item["note"].upper().replace("WORD", "w-").split():
            counts[word] = counts.get(word, 0) + 1
        for line in item["lines"]:
            for tag in line["tags"]:
                counts[tag] = counts.get(tag, 0) + len(line["article"].split("-"))
    return counts


def main() -> None:
    """Do the work and print its checksum."""
    draw = random.Random(20251121)
    total = hashlib.sha256()
    kept: list[Document] = []
    for _ in range(ROUNDS):
        documents = round_trip([document(draw, index) for index in range(DOCUMENTS)])
        groups = by_city(documents)
        counts = words(documents)
        draw.shuffle(documents)
        kept = documents[: DOCUMENTS // 2] + kept[: DOCUMENTS // 4]
        total.update(json.dumps([groups, counts, kept[::50]], sort_keys=True).encode())
    sys.stdout.write(total.hexdigest() + "\ndone\n")
    sys.stdout.flush()
    sys.stdin.read()


main()

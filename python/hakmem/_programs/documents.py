"""Build, transform and print a set of documents: dicts, strings, lists, JSON text and back.

Run by hakmem.programs on stock CPython. Deterministic: prints one checksum. Says ``done`` when the work is
over and waits for the end of its standard input, so that its memory can be read while it is still there.
"""

import hashlib
import json
import random
import sys

DOCUMENTS = 2500
ROUNDS = 3


def document(draw, index):
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


def round_trip(documents):
    """Write every document as JSON text and read it back."""
    return [json.loads(text) for text in [json.dumps(item, sort_keys=True) for item in documents]]


def by_city(documents):
    """Group the documents' totals by city and article."""
    groups = {}
    for item in documents:
        city = groups.setdefault(item["customer"]["city"], {})
        for line in item["lines"]:
            city.setdefault(line["article"], []).append((item["id"], line["count"] * line["price"]))
    return groups


def words(documents):
    """Count words and tags over all documents."""
    counts = {}
    for item in documents:
        for word in item["note"].upper().replace("WORD", "w-").split():
            counts[word] = counts.get(word, 0) + 1
        for line in item["lines"]:
            for tag in line["tags"]:
                counts[tag] = counts.get(tag, 0) + len(line["article"].split("-"))
    return counts


def main():
    """Do the work and print its checksum."""
    draw = random.Random(20251121)
    total = hashlib.sha256()
    kept = []
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

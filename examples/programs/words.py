"""Counts words, packs them as JSON and back, and groups them: many small objects of a few sizes."""

import collections
import json
import random
import re

random.seed(1)
words = ["".join(random.choices("abcdefgh", k=random.randint(2, 9))) for _ in range(4000)]
text = " ".join(random.choices(words, k=120_000))
for _ in range(3):
    found = collections.Counter(re.findall(r"\w+", text))
    lines = [{"word": word, "count": count, "at": [count, len(word)]} for word, count in found.items()]
    packed = json.dumps(lines)
    lines = sorted(json.loads(packed), key=lambda one: (-one["count"], one["word"]))
    by_length = collections.defaultdict(list)
    for one in lines:
        by_length[len(one["word"])].append(one["word"].upper())
    pairs = collections.Counter(zip(text.split(), text.split()[1:], strict=False))
print(len(packed), lines[:3], sum(map(len, by_length.values())), pairs.most_common(2))

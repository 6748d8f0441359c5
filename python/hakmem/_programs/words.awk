# Arrays of strings, split, joined, sorted by hand and printed; run by hakmem.program_suite. Deterministic.
function drawn(n) { seed = (seed * 69069 + 1) % 4294967296; return int(seed / 65536) % n }
BEGIN {
  seed = 42
  for (i = 0; i < 50000; i++) {
    line = ""
    for (j = drawn(9) + 3; j > 0; j--) line = line "word" drawn(5000) " "
    n = split(line, part, " ")
    for (j = 1; j <= n; j++) { count[part[j]]++; where[part[j]] = substr(where[part[j]] " " i, 1, 120) }
    if (i % 3 == 0) delete count[part[1]]
    gsub(/word/, "w", line)
    lines[i % 20000] = toupper(line)
  }
  total = 0
  for (w in count) total += count[w] * length(where[w])
  for (i in lines) total += length(lines[i])
  print total, length(count), length(where), length(lines)
  print "done"
}

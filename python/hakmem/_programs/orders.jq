# Read, group, transform and write documents; run by hakmem.program_suite.
[ .[] | select(.lines | length > 2)
  | {id, city: .customer.city, total: ([.lines[] | .count * .price] | add), tags: [.lines[].tags[]] | unique,
     note: (.note | split(" ") | map(ascii_upcase) | join("-"))} ]
| group_by(.city)
| map({city: .[0].city, orders: length, total: (map(.total) | add | floor), longest: (map(.note | length) | max),
       tags: (map(.tags) | add | unique | length)})

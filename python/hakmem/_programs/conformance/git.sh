# A repository: two hundred files, commits, a merge, every object packed again with two threads, checked.
set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
git init -q -b main tree
cd tree
git config pack.threads 2
git config gc.auto 0
n=0
while [ $n -lt 200 ]; do
  seq $n $((n * 17 % 900 + n + 300)) > "file$n"
  n=$((n + 1))
done
git add .
git commit -q -m first
n=0
while [ $n -lt 12 ]; do
  sed "s/$n/x$n/" "file$((n * 11))" > new && mv new "file$((n * 11))"
  git commit -q -a -m "change $n"
  n=$((n + 1))
done
git checkout -q -b side HEAD~6
seq 5000 > side
git add side
git commit -q -m side
git merge -q -m merge main
git repack -q -a -d -f --depth=50 --window=50
git fsck --strict --no-progress
git clone -q --no-local . ../copy
git -C ../copy log --stat --format='%H %s' | sha256sum
git rev-list --objects --all | sort | sha256sum
git diff HEAD~3 | sha256sum
git blame file11 | sha256sum
git status --short | wc -l

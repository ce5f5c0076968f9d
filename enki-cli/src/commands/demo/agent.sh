#!/bin/sh
# The agent of the demo: a script that does by rote what a coding agent would think up. It runs in a private clone, gets
# its prompt on stdin and its step in ENKI_STEP_ID, edits files, and says what it did. Enki commits what it leaves.
set -eu

prompt=$(cat)
case $prompt in '#'*) ;; *) echo "this is no prompt of enki" >&2; exit 1 ;; esac

say() {
    echo "$1"
    sleep 0.3
}

say "reading the code"
case $ENKI_STEP_ID in
survey)
    say "counting files and lines"
    report=".enki/artifacts/exec-$(printf %s "$ENKI_EXECUTION_ID" | cut -c21-32)/survey.md"
    mkdir -p "$(dirname "$report")"
    {
        echo "# What is in the project"
        echo
        echo "| file | lines |"
        echo "|---|---|"
        find . -name '*.sh' -not -path './.enki/*' -not -path './.git/*' | sort | while read -r file; do
            echo "| $file | $(wc -l <"$file") |"
        done
    } >"$report"
    ;;
library)
    say "writing src/text.sh"
    cat >src/text.sh <<'EOF'
# Functions on texts; each reads stdin.

lower() { tr '[:upper:]' '[:lower:]'; }
words() { tr -cs '[:alnum:]' '\n' | sed '/^$/d'; }
EOF
    say "writing tests/text.sh"
    cat >tests/text.sh <<'EOF'
. src/text.sh
test "$(echo 'Hello, WORLD' | words | lower | tr '\n' ' ')" = 'hello world '
EOF
    ;;
count)
    say "writing src/count.sh"
    cat >src/count.sh <<'EOF'
. src/text.sh

# How many words there are.
count() { words | wc -l | tr -d ' '; }
EOF
    echo '. src/count.sh; test "$(echo one two three | count)" = 3' >tests/count.sh
    ;;
longest)
    say "writing src/longest.sh"
    cat >src/longest.sh <<'EOF'
. src/text.sh

# The longest word.
longest() { words | awk 'length($0) > length(max) { max = $0 } END { print max }'; }
EOF
    echo '. src/longest.sh; test "$(echo a banana fig | longest)" = banana' >tests/longest.sh
    ;;
report)
    say "joining count and longest"
    cat >report.sh <<'EOF'
#!/bin/sh
# Says how many words stdin has and which is the longest.
. src/count.sh
. src/longest.sh
text=$(cat)
echo "words: $(echo "$text" | count), longest: $(echo "$text" | longest)"
EOF
    chmod +x report.sh
    cat >tests/report.sh <<'EOF'
test "$(echo 'to be or not to be' | sh report.sh)" = 'words: 6, longest: not'
EOF
    ;;
license)
    say "writing LICENSE"
    echo "Do with it what you like." >LICENSE
    ;;
tidy)
    say "looking for tabs and trailing spaces"
    if grep -rn "$(printf '[ \t]$')" src tests; then
        sed -i.bak "s/[ $(printf '\t')]*\$//" src/*.sh tests/*.sh && rm -f src/*.bak tests/*.bak
    else
        say "there are none"
    fi
    ;;
readme)
    say "describing report.sh"
    cat >>README.md <<'EOF'

## Use

    ./report.sh <text.txt
EOF
    ;;
*)
    echo "nobody told me about step $ENKI_STEP_ID" >&2
    exit 1
    ;;
esac
echo "[OUTPUT]$ENKI_STEP_ID is in place.[/OUTPUT]"

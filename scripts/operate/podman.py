"""The chart's own pods under podman, as a kubelet would run them: volumes made of Secrets, ConfigMaps and
claims, on the host's network. Probes are asked by who calls this: podman would want a shell for them."""

import base64
import json
import os
import pathlib
import shutil
import subprocess

import yaml

from stage import ROOT, fail, require, until

IMAGE = ROOT / "target/image.tar"
# Some machines let nobody raise what podman would.
CONTAINERS = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\n'


class Podman:
    """A podman with a store of its own."""

    def __init__(self, stage):
        for tool in ("podman", "runc", "catatonit"):
            if not (shutil.which(tool) or pathlib.Path(f"/usr/libexec/podman/{tool}").exists()):
                fail(f"missing: {tool} (Debian: apt-get install podman runc catatonit)")
        require(IMAGE.exists(), "there is no target/image.tar: make image")
        self.stage = stage
        self.store = stage.directory / "podman"
        self.store.mkdir()
        configuration = self.store / "containers.conf"
        configuration.write_text(CONTAINERS)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(configuration)}
        stage.endings.append(lambda: self.run("pod", "rm", "--force", "--all", check=False))
        self.run("load", "--quiet", "--input", str(IMAGE))

    def run(self, *arguments, check=True):
        """Runs a command; returns what it printed."""
        command = ["podman", "--root", f"{self.store}/images", "--runroot", f"{self.store}/run"]
        command += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
        command += ["--events-backend", "file", "--runtime", "runc", *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.store,
            check=False,
        )
        if check and done.returncode != 0:
            fail(f"podman {' '.join(arguments)}: {done.stderr}")
        # What a container says of errors is an error's output here, too.
        return (done.stdout + (done.stderr if arguments[0] == "logs" else "")).strip()

    def inspect(self, container):
        """Returns what is known of a container."""
        return json.loads(self.run("inspect", container))[0]

    def play(self, name, template, objects, secrets):
        """Runs a rendered pod; returns it. Secrets: the text of each key of each."""
        pod = Pod(self, name, template["spec"], objects, secrets)
        pod.play(template["metadata"])
        return pod


class Pod:
    """A pod, and the names of its containers here."""

    def __init__(self, podman, name, spec, objects, secrets):
        self.podman, self.name, self.objects, self.secrets = podman, name, objects, secrets
        self.spec = json.loads(json.dumps(spec))
        self.grace = self.spec.get("terminationGracePeriodSeconds", 30)
        self.main = f"{name}-{self.spec['containers'][0]['name']}"

    def play(self, metadata):
        """Runs it."""
        spec = self.spec
        group = spec["securityContext"]["fsGroup"]
        spec["hostNetwork"] = True
        spec["restartPolicy"] = "Never"
        for container in spec.get("initContainers", []) + spec["containers"]:
            container["imagePullPolicy"] = "Never"
            container["image"] = f"localhost/{container['image']}"
            # Ports of the host's network are not mapped.
            for key in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
                container.pop(key, None)
        for volume in spec["volumes"]:
            path = self.fill(volume, group)
            name = volume["name"]
            volume.clear()
            volume.update({"name": name, "hostPath": {"path": str(path)}})
        file = self.podman.stage.directory / f"{self.name}.yaml"
        labels = metadata.get("labels", {})
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
        file.write_text(yaml.safe_dump(pod | {"metadata": {"name": self.name, "labels": labels}}))
        self.podman.run("play", "kube", "--build=false", "--log-driver", "k8s-file", str(file))

    def fill(self, volume, group):
        """Makes a volume's directory as a kubelet does; returns it."""
        path = self.podman.stage.directory / f"{self.name}-{volume['name']}"
        if "persistentVolumeClaim" in volume:
            # It outlasts the pod.
            path = (
                self.podman.stage.directory
                / f"claim-{volume['persistentVolumeClaim']['claimName']}"
            )
        if not path.exists():
            path.mkdir()
            os.chown(path, 0, group)
            path.chmod(0o2777 if "emptyDir" in volume else 0o2775)
        for name, text in self.files(volume).items():
            (path / name).write_text(text)
            os.chown(path / name, 0, group)
            (path / name).chmod(0o644 if "configMap" in volume else 0o440)
        return path

    def files(self, volume):
        """Returns the files of a volume of a ConfigMap or a Secret, by name."""
        if "configMap" in volume:
            return self.objects["ConfigMap"]["data"]
        secret = volume.get("secret")
        if not secret:
            return {}
        texts = self.secrets[secret["secretName"]]
        items = secret.get("items") or [{"key": key, "path": key} for key in texts]
        return {item["path"]: texts[item["key"]] for item in items}

    def log(self):
        """Returns what its first container said; the ones before it are gone once they ended."""
        return self.podman.run("logs", self.main, check=False)

    def process(self):
        """Returns the process of the first container, once it runs."""
        return until(f"{self.name} runs", lambda: self.podman.inspect(self.main)["State"]["Pid"])

    def signal(self, name):
        """Sends the first container a signal."""
        self.podman.run("kill", "--signal", name, self.main)

    def ended(self):
        """Waits until the first container has ended; returns its exit code."""
        return int(self.podman.run("wait", self.main))

    def remove(self):
        """Removes it."""
        self.podman.run("pod", "rm", "--force", self.name)


def a_key():
    """Returns a keyring's key, as text."""
    return base64.b64encode(os.urandom(32)).decode() + "\n"

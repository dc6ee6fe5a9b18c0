# Packages of one system. host.nix is written by the test: the virtual environment and shell of the machine.
{ lib, system }:
let
  host = import ./host.nix;
  # What the machine has already; the store holds nothing of it.
  here = {
    outPath = host.venv;
  };
  path = inputs: builtins.concatStringsSep ":" (map (input: "${input}/bin") inputs ++ [ host.path ]);
  make =
    name: attributes: command:
    derivation (
      {
        inherit name system;
        builder = host.bash;
        # With a line of the shell's own at the end: a last command would take the shell's place, and one that closes its
        # output before it ends, as cp does, is killed by Nix, which takes that for the end.
        args = [
          "-c"
          "set -euo pipefail\n${command}\nexit 0"
        ];
        # Python of the machine may find this checkout by its environment: what is built must not.
        PYTHONSAFEPATH = "1";
        # Of the tests that a check runs a part: the rest runs beside this test in the same environment.
        PYTEST_ADDOPTS = "--ignore-glob=*/tests/unit/test_[!b]* --ignore-glob=*/tests/unit/*/*";
      }
      // attributes
      // {
        PATH = path (attributes.nativeBuildInputs or [ ]);
      }
    );
  script =
    name: file: text:
    make name { inherit text; } ''
      mkdir -p "$(dirname "$out${file}")"
      printf '#!%s\n%s\n' ${host.bash} "$text" > "$out${file}"
      chmod +x "$out${file}"
    '';
  python3 = here // {
    withPackages = choose: builtins.deepSeq (choose python3Packages) here;
  };
  python3Packages =
    lib.genAttrs [
      "aiohttp"
      "cryptography"
      "docker"
      "h2"
      "hatchling"
      "hypothesis"
      "invoke"
      "mypy"
      "pydantic"
      "pytest"
      "pytest-cov"
      "pyyaml"
      "rich"
      "tomli"
      "tomli-w"
      "types-pyyaml"
    ] (_: here)
    // {
      buildPythonApplication =
        {
          pname,
          version,
          src,
          postPatch,
          pythonImportsCheck,
          meta,
          build-system,
          dependencies,
          ...
        }:
        make "${pname}-${version}" { nativeBuildInputs = build-system ++ dependencies; } ''
          cp -R ${src} source && chmod -R u+w source && cd source
          ${postPatch}
          python -m hatchling build -t wheel -d dist
          python -m zipfile -e dist/*.whl $out/lib
          # Compiled now, or whoever runs it as root would write into the store.
          python -m compileall -q --invalidation-mode unchecked-hash $out/lib
          entry=$(sed -n 's/^${pname} = //p' $out/lib/*.dist-info/entry_points.txt)
          mkdir $out/bin
          printf '#!%s\nexport PYTHONPATH=%s PYTHONSAFEPATH=1\nexec %s/bin/python -c "%s" "$@"\n' ${host.bash} $out/lib \
            ${host.venv} "from ''${entry%:*} import ''${entry#*:}; ''${entry#*:}()" > $out/bin/${meta.mainProgram}
          chmod +x $out/bin/${meta.mainProgram}
          cd / && PYTHONPATH=$out/lib python -c 'import ${builtins.concatStringsSep ", " pythonImportsCheck}'
        ''
        // {
          inherit meta;
        };
    };
in
lib.genAttrs [ "bubblewrap" "docker-client" "envoy-bin" "git" "import-linter" "ruff" "shellcheck" "uv" ] (_: here)
// rec {
  inherit lib python3 python3Packages;
  callPackage = file: _: import file { inherit lib stdenv python3Packages; bubblewrap = here; };
  stdenv.hostPlatform.isLinux = builtins.match ".*-linux" system != null;
  # Not nixpkgs' own: takes blanks off the ends of lines, so that it can be seen to have run.
  nixfmt = script "nixfmt" "/bin/nixfmt" ''sed -i 's/ *$//' "$@"'';
  runCommand = make;
  mkShell =
    { packages, shellHook }:
    make "shell" {
      inherit shellHook;
      nativeBuildInputs = packages;
      # `nix develop` looks for this variable.
      outputs = [ "out" ];
    } "echo 'a shell is not built' >&2; exit 1";
  writeShellScript = name: script name "";
  writeShellApplication =
    {
      name,
      runtimeInputs,
      text,
    }:
    script name "/bin/${name}" "set -euo pipefail\nPATH=${path runtimeInputs}:$PATH\n${text}";
  # `nix develop` runs the shell that the flake's nixpkgs has.
  bashInteractive = script "bash" "/bin/bash" ''exec ${host.bash} "$@"'';
  formats.toml = _: {
    type = "TOML";
    generate =
      name: value:
      make name { json = builtins.toJSON value; } ''
        ${host.venv}/bin/python -c 'import json, os, tomli_w; print(tomli_w.dumps(json.loads(os.environ["json"])))' > $out
      '';
  };
}

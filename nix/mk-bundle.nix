# The bundle of a profile as a derivation. Offered to other flakes as `lib.mkBundle`.
{ package }:
{
  # The package set to build with.
  pkgs,
  # The bundle's name. It is in the bundle, so it cannot be taken from the profile's path: in the store that begins with a hash.
  name,
  # A profile file; with `src`, its path inside of that folder, as text.
  profile,
  # A folder with all that the profile extends; null when it extends nothing.
  src ? null,
  # The project's bottlegen.lock; null takes the one that ships with bottlegen.
  lock ? null,
  # SRI hash of the bundle that was reviewed; null builds what the profile says now.
  hash ? null,
  bottlegen ? package pkgs,
}:

let
  ending = builtins.match ".*(\\.toml|\\.yaml|\\.yml)" (baseNameOf (toString profile));
  # A file alone lies in the store under another name than its own, so it is placed under the bundle's.
  place =
    if ending == null then
      throw "mkBundle: profile '${baseNameOf (toString profile)}' ends in none of .toml, .yaml, .yml"
    else if src == null then
      "mkdir profiles && cp ${profile} profiles/${name}${builtins.head ending}"
    else if baseNameOf profile != name + builtins.head ending then
      throw "mkBundle: profile '${profile}' makes a bundle of its own name, not '${name}'"
    else
      "cp -R ${src} profiles";
  # Where `build` looks for it: beside the folder of profiles, or in the folder of a profile further down.
  placeLock =
    if lock == null then
      ""
    else
      ''
        chmod -R u+w profiles
        folder=$(dirname profiles/${file})
        if [ "$folder" = profiles ]; then folder=.; fi
        cp ${lock} "$folder/bottlegen.lock"
      '';
  file = if src == null then name + builtins.head ending else profile;
  # With a hash Nix takes what it has for that hash and does not look at the profile again: for who pins what was reviewed.
  pinned =
    if hash == null then
      { }
    else
      {
        outputHash = hash;
        outputHashAlgo = "sha256";
        outputHashMode = "recursive";
      };
in
pkgs.runCommand name
  (
    {
      nativeBuildInputs = [ bottlegen ];
      # A bundle names nothing of the machine that made it, so no path of this store either.
      allowedReferences = [ ];
      preferLocalBuild = true;
    }
    // pinned
  )
  ''
    export HOME=$PWD # where `build` keeps an index
    ${place}
    ${placeLock}
    bottlegen build --profile profiles/${file} --out built
    cp -R built/${name} $out
  ''

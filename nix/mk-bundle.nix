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
  # { directory = "agent-root"; from = DERIVATION; }, or with `archive`: the bundle has this for its [rootfs], with the hash
  # of what was built. null leaves that to the profile.
  rootfs ? null,
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
  kind = builtins.head (builtins.attrNames (removeAttrs rootfs [ "from" ]));
  # A profile beside the given one, which it extends: the bundle is that of a profile with these lines.
  rooted =
    if builtins.attrNames (removeAttrs rootfs [ "from" ]) != [ kind ] || !(builtins.elem kind [ "archive" "directory" ]) then
      throw "mkBundle: rootfs wants 'from' and one of 'directory' and 'archive'"
    else
      ''
        mv profiles given && mkdir profiles
        printf 'extends = "../given/%s"\n[rootfs]\n%s = "%s"\nhash = "%s"\n' ${file} ${kind} \
          ${rootfs.${kind}} "$(bottlegen hash --path ${rootfs.from})" > profiles/${name}.toml
      '';
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
    ${if rootfs == null then "" else rooted}
    bottlegen build --profile profiles/${if rootfs == null then file else name + ".toml"} --out built
    cp -R built/${name} $out
  ''

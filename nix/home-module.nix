# home-manager: the command, host.toml, and profiles of the user's own with their bundles.
{ package, mkBundle }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.programs.bottlegen;
  # bottlegen looks for the bundle of X/profiles/NAME.toml in X/bundles/NAME. A folder as one link: a bundle holds no links.
  files = name: profile: {
    "bottlegen/profiles/${name}.toml".source = profile;
    "bottlegen/bundles/${name}".source = mkBundle {
      inherit pkgs name profile;
      bottlegen = cfg.package;
    };
  };
in
{
  options.programs.bottlegen = {
    enable = lib.mkEnableOption "bottlegen";
    package = lib.mkOption {
      type = lib.types.package;
      default = package pkgs;
      defaultText = lib.literalExpression "bottlegen.packages.\${system}.default";
      description = "The bottlegen to install and to build bundles with.";
    };
    profiles = lib.mkOption {
      type = lib.types.attrsOf lib.types.path;
      default = { };
      example = lib.literalExpression "{ dev = ./dev.toml; }";
      description = "Profiles by name, each a TOML file that extends no other; built into bundles beside them.";
    };
    hostConfig = lib.mkOption {
      inherit ((pkgs.formats.toml { })) type;
      default = { };
      example = {
        secrets.GITHUB_TOKEN.env = "MY_GITHUB_TOKEN";
      };
      description = "host.toml. It names where secrets come from; a secret itself would be readable in the Nix store.";
    };
  };

  config = lib.mkIf cfg.enable {
    home.packages = [ cfg.package ];
    xdg.configFile = lib.mkMerge (
      [
        (lib.mkIf (cfg.hostConfig != { }) {
          "bottlegen/host.toml".source = (pkgs.formats.toml { }).generate "host.toml" cfg.hostConfig;
        })
      ]
      ++ lib.mapAttrsToList files cfg.profiles
    );
  };
}

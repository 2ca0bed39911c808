(* diagnosis.ml - who owns SIGCHLD now, and numbers of signals *)

open Types
open Errors

let facilities bits =
  List.filteri
    (fun i _ -> bits land Raw.bit i <> 0)
    [ Pidfd; Shared_files; Close_range; Exit_info; Vfork ]

let diagnose t =
  let d = get (plain (Raw.diagnose t)) in
  {
    mode_asked = d.asked;
    mode_in_force = d.in_force;
    mode_reason = d.reason;
    facilities = facilities d.bits;
    handler_wanted = d.wanted;
    handler_installed = d.installed;
    handler_displaced = d.displaced;
    sigchld_ignored = d.ignored;
    sigchld_blocked = d.blocked;
    handler_object = d.object_file;
    children = d.count;
    words = d.text;
  }

let version = Raw.version ()
let system_signal = Raw.system_signal
let ocaml_signal = Raw.ocaml_signal

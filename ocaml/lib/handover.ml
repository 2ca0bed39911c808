(* handover.ml - what C has made is the host's, or is undone

   Whatever is raised, of a signal handler say, and wherever. Used by family.ml,
   children.ml and run.ml, whose records C fills in or knows by number. *)

open Types
open Errors

(* [into] makes [thing] stand for something. Whatever is raised meanwhile, [undo]
   comes first; the answer is there before, so that nothing is raised after. *)
let handed_over_result thing ~undo into =
  let ok = Ok thing in
  try match into thing with Ok () -> ok | Result.Error _ as e -> e
  with exn ->
    undo thing;
    raise exn

let handed_over thing ~undo into =
  try
    get (into thing);
    thing
  with exn ->
    undo thing;
    raise exn

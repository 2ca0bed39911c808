(* ledger.ml - what really happened, against what was told

   The services wrote the one, the daemon's lives told the other. *)

type told = { service : string; cause : string; ending : string }

type t = {
  began : (string, unit) Hashtbl.t;
  meant : (string, string) Hashtbl.t;  (* run, its end *)
  told : (string, told) Hashtbl.t;
  started : (string, unit) Hashtbl.t;
  mutable starts : int;
  mutable crashes : int;
  mutable hangs : int;
  mutable late : int;
  mutable adopted : int;
  mutable lost : int;
  mutable unknown : int;  (* starts *)
  mutable unseen : int;  (* of these, those that did come to run *)
  mutable away : int;  (* ends of which the next life knew nothing *)
  mutable told_again : int;
  mutable overlaps : int;
      (* starts that met somebody of the run before *)
  mutable wrong : string list;
}

let create () =
  {
    began = Hashtbl.create 1000;
    meant = Hashtbl.create 1000;
    told = Hashtbl.create 1000;
    started = Hashtbl.create 1000;
    starts = 0;
    crashes = 0;
    hangs = 0;
    late = 0;
    adopted = 0;
    lost = 0;
    unknown = 0;
    unseen = 0;
    away = 0;
    told_again = 0;
    overlaps = 0;
    wrong = [];
  }

let wrong t format =
  Printf.ksprintf (fun text -> t.wrong <- text :: t.wrong) format

let is_lost ending =
  String.length ending > 5 && String.sub ending 0 5 = "lost:"

let hear_end t service run cause ending =
  match Hashtbl.find_opt t.told run with
  | Some before when before.ending = ending && before.cause = cause ->
      t.told_again <- t.told_again + 1
  | Some before ->
      wrong t "%s %s: told %s, then %s" service run before.ending ending
  | None ->
      Hashtbl.add t.told run { service; cause; ending };
      if is_lost ending then t.lost <- t.lost + 1;
      if ending = "lost: it ended while no daemon watched it" then
        t.away <- t.away + 1;
      if cause = "itself" && ending <> "exit code 0" && not (is_lost ending)
      then
        t.crashes <- t.crashes + 1;
      if cause = "told" && ending = "signal 9" then t.hangs <- t.hangs + 1

(* A line of a daemon's. *)
let hear t line =
  match String.split_on_char ' ' line with
  | [ "started"; _; run ] ->
      t.starts <- t.starts + 1;
      Hashtbl.replace t.started run ()
  | [ "adopted"; _; _ ] -> t.adopted <- t.adopted + 1
  | [ "late"; _; _ ] -> t.late <- t.late + 1
  | [ "unknown"; service; run ] ->
      t.unknown <- t.unknown + 1;
      hear_end t service run "itself" "lost: start"
  | "ended" :: service :: run :: cause :: ending ->
      hear_end t service run cause (String.concat " " ending)
  | _ -> wrong t "the daemon said: %s" line

let read t path =
  let file = open_in path in
  let rec lines () =
    match String.split_on_char ' ' (input_line file) with
    | [ run; "begin" ] ->
        Hashtbl.replace t.began run ();
        lines ()
    | [ run; "overlap" ] ->
        t.overlaps <- t.overlaps + 1;
        wrong t "%s met somebody of the run before" run;
        lines ()
    | run :: "end" :: ending ->
        Hashtbl.replace t.meant run (String.concat " " ending);
        lines ()
    | words ->
        wrong t "the ledger has: %s" (String.concat " " words);
        lines ()
    | exception End_of_file -> close_in file
  in
  lines ()

(* Whether the supervisor may have ended it so. A life that is killed while it
   ends a service leaves the rest to the next, which did not tell it to. *)
let by_supervisor kind ~cause ending =
  match (kind : Services.kind) with
  | Deaf | Unready -> ending = "signal 9" || ending = "signal 15"
  | Crash | Signal | Clean | Short | Long ->
      cause = "told" && (ending = "signal 15" || ending = "signal 9")

let judge t run { service; cause; ending } =
  let meant = Hashtbl.find_opt t.meant run in
  let right =
    is_lost ending
    || Some ending = meant
    || by_supervisor (Services.kind_of service) ~cause ending
  in
  if not right then
    wrong t "%s %s: told %s (%s), but it was %s" service run ending cause
      (Option.value meant ~default:"not its own doing")

let settle t =
  Hashtbl.iter
    (fun run { ending; _ } ->
      if ending = "lost: start" && Hashtbl.mem t.began run then
        t.unseen <- t.unseen + 1)
    t.told;
  Hashtbl.iter (judge t) t.told;
  let has_to_end what run () =
    if not (Hashtbl.mem t.told run) then wrong t "%s, end not told: %s" what run
  in
  Hashtbl.iter (has_to_end "began") t.began;
  Hashtbl.iter (has_to_end "started") t.started

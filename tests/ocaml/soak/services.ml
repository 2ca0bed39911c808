(* services.ml - what the soak's daemon supervises

   Each run writes to the ledger that it began, and, where its end is its own
   doing, how it is going to end, in the words of ending_text.

   It has its service's lock, and so has whatever it starts: one that does not
   get it has met somebody of the run before. *)

open Xlchild_supervisor

type kind =
  | Crash  (* exits with a code of its own, at once *)
  | Signal  (* dies of a signal *)
  | Clean  (* exits with 0 *)
  | Short  (* lives a second or two, over the daemon's lives *)
  | Long  (* lives until it is told to end, and obeys *)
  | Deaf  (* ignores SIGTERM, and so does its child *)
  | Unready  (* never says that it is ready *)

let script = function
  | Crash -> "code=$((1 + $$ % 99)); says end exit code $code; exit $code"
  | Signal ->
      "case $(($$ % 3)) in 0) s=6;; 1) s=9;; *) s=11;; esac; ulimit -c 0; \
       says end signal $s; kill -$s $$"
  | Clean -> "echo a line; says end exit code 0; exit 0"
  | Short ->
      "echo ready; sleep $((1 + $$ % 2)); code=$(($$ % 100)); \
       says end exit code $code; exit $code"
  | Long ->
      "trap 'says end exit code 7; exit 7' TERM; echo >&5; \
       while :; do sleep 1000 & wait $!; done"
  | Deaf -> "trap '' TERM; sleep 1000 & echo ready; wait"
  | Unready -> "exec sleep 1000"

let shell kind =
  "says() { echo \"${XLCHILD_SERVICE##*/} $*\" >> \"$LEDGER\"; }\n\
   says begin\n\
   exec 9>> \"$LOCK\"; flock -n 9 || says overlap\n" ^ script kind

let back_off =
  Policy.back_off ~first:0.01 ~most:0.08 ~settled:1000. ~restarts:1000
    ~within:1. ()

let within grace = Xlchild.kill_policy ~grace ~scope:Process_group ()

let count = function
  | Crash -> 4
  | Signal | Clean | Deaf -> 3
  | Short -> 6
  | Long -> 2
  | Unready -> 1

let name = function
  | Crash -> "crash"
  | Signal -> "signal"
  | Clean -> "clean"
  | Short -> "short"
  | Long -> "long"
  | Deaf -> "deaf"
  | Unready -> "unready"

let kinds = [ Crash; Signal; Clean; Short; Long; Deaf; Unready ]

let kind_of service =
  List.find
    (fun kind -> List.hd (String.split_on_char '-' service) = name kind)
    kinds

let service ~ledger ~logs kind number =
  let name = Printf.sprintf "%s-%d" (name kind) number in
  let log = Filename.concat logs (name ^ ".log") in
  let readiness, ready_within =
    match kind with
    | Crash | Signal | Clean -> (At_once, 30.)
    | Short | Deaf -> (Line "ready", 30.)
    | Long -> (Newline_on 5, 30.)
    | Unready -> (Newline_on 5, 0.05)
  in
  Xlchild_supervisor.service ~name "/bin/sh" [ "-c"; shell kind ]
    ~env:
      (("LEDGER=" ^ ledger)
      :: ("LOCK=" ^ Filename.concat logs (name ^ ".lock"))
      :: Array.to_list (Unix.environment ()))
    ~readiness ~ready_within ~restart:(Always back_off)
    ~output:(Log_file { path = log; most = 2000; keep = 2 })
    ~stop:(within (if kind = Long then 30. else 0.02))

let all ~ledger ~logs =
  List.concat_map
    (fun kind -> List.init (count kind) (service ~ledger ~logs kind))
    kinds

(* account.ml - why a child died, and what it cost, to be printed and compared

   The record is made by stub_account.c; children.ml and run.ml hand it out. *)

open Types

type t = account

let ended_by_text = function
  | By_unknown -> "nobody knows whom"
  | By_itself -> "itself"
  | By_timeout -> "a time-out"
  | By_abort -> "an abort"
  | By_kill -> "a kill"
  | By_memory_killer -> "the memory killer"
  | By_others -> "others"

let said words format value =
  match value with
  | None -> None
  | Some x -> Some (Printf.sprintf words (Printf.sprintf format x))

let sent_text = function
  | None -> None
  | Some (by, signal) ->
      Some
        (Printf.sprintf "sent signal %d by %s" (Raw.system_signal signal)
           (ended_by_text by))

let usage_text =
  Option.map (fun (u : rusage) ->
      Printf.sprintf "user %.3f s, system %.3f s, %d KiB" u.user_time
        u.system_time u.max_rss)

let to_string (a : t) =
  String.concat ", "
    (List.filter_map Fun.id
       [
         Some
           (Printf.sprintf "ended by %s%s" (ended_by_text a.ended_by)
              (if a.perhaps then ", perhaps" else ""));
         (if a.core_dumped = Some true then Some "core dumped" else None);
         sent_text a.sent;
         said "a program after %s s" "%.3f" a.exec_time;
         said "over after %s s" "%.3f" a.end_time;
         usage_text a.usage;
         said "%s killed for want of memory" "%d" a.memory_kills;
         said "its cgroup: cpu %s s" "%.3f" a.cpu_time;
         said "memory peak %s" "%d" a.memory_peak;
         said "threads peak %s" "%d" a.pids_peak;
         said "waited for memory %s s" "%.3f" a.memory_stall;
         said "for a processor %s s" "%.3f" a.cpu_stall;
         said "for a device %s s" "%.3f" a.io_stall;
       ])

let pp formatter a = Format.pp_print_string formatter (to_string a)
let equal (a : t) b = a = b
let compare (a : t) b = compare a b

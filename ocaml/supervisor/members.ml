(* members.ml - a supervisor and its services: the record, its lock, who is fed

   Included by loop.ml, whose rules about the lock and the thread hold here. *)

open Types

(* A process that a previous life left and that nobody has asked for yet. *)
type left = {
  left_number : int;  (* tag of its event *)
  left_name : string;
  left_run : string;
  left_start : int;
  left_ready : bool;
  left_child : Xlchild.Child.t;
}

(* The leader has ended, and what it left has been killed: the service has
   ended when that is gone, too. *)
type rest = {
  of_child : Xlchild.ended;
  until : float;  (* then it is not waited for any more *)
  mutable next_look : float;
  kin_goes : bool;  (* and its family is to be gone *)
}

type member = {
  service : Service.t;
  sink : Sink.t;
  output : Channel.t option;
  spool : Spool.t option;
  mutable number : int;
  mutable machine : Machine.t;
  mutable pending : Machine.action list;
  mutable run : string;
  mutable start_time : int;
  mutable child : Xlchild.Child.t option;
  mutable held : bool;  (* started by this life, and not reaped *)
  mutable rest : rest option;
  mutable kin : Kin.t option;  (* of the present or the last run *)
  mutable delayed : float option;
      (* to be launched when the last run's is gone, then at the latest *)
  mutable watch : Readiness.t;
  mutable log_fails : bool;
  mutable leaving : bool;  (* to be removed once it is stopped *)
  mutable removed : bool;
}

type t = {
  ctx : Xlchild.t;
  journal : Journal.t option;
  keeping : Keeping.t;  (* the thread's own, once there is one *)
  on_event : event -> unit;
  on_exception : exn -> unit;
  owner : int;  (* the pid of the process that has its thread *)
  life : string;  (* begins the names of this life's runs *)
  lock : Mutex.t;
  changed : Xlchild_syslog.Bell.t;  (* rung after every turn *)
  wake_r : Unix.file_descr;
  wake_w : Unix.file_descr;
  mutable members : member list;
  mutable adding : string list;  (* names of some that are not there yet *)
  mutable clearing : string list;
      (* of some that ended, whose groups are about to be gone *)
  mutable left : left list;
  mutable runs : int;
  mutable numbers : int;
  mutable news : event list;  (* the newest first *)
  mutable untold : State_file.entry list;
  mutable dirty : bool;  (* the state file is behind *)
  mutable save_fails : bool;
  mutable reopen : bool;
  mutable closing : bool;  (* nobody is to use it any more *)
  mutable leave : bool;  (* closing: the services go on *)
  mutable stopping : bool;  (* closing: they have been told to stop *)
  mutable finished : bool;  (* its thread does nothing more *)
  mutable over : bool;  (* and all of it is closed *)
  mutable trouble : exn option;  (* what closing raised *)
  mutable thread : int option;  (* its id *)
}

let locked t f = Xlchild_syslog.Elsewhere.locked t.lock f

(* The lock is held. *)
let wake t =
  if not t.finished then
    try ignore (Unix.write_substring t.wake_w "x" 0 1)
    with Unix.Unix_error _ -> () (* full: it wakes all the same *)

let tell t ~service ~run what = t.news <- { service; run; what } :: t.news

(* The lock is held. All of it or, where a handler raises, nothing. *)
let feed_all m inputs =
  let now = Xlchild.now () in
  let machine, actions =
    List.fold_left
      (fun (machine, actions) input ->
        let machine, more = Machine.step ~now machine input in
        (machine, actions @ more))
      (m.machine, m.pending) inputs
  in
  m.machine <- machine;
  m.pending <- actions

let feed m input = feed_all m [ input ]

let input t m input = locked t (fun () -> feed m input)

let in_its_thread t = t.thread = Some (Thread.id (Thread.self ()))

(* Until [condition], which is asked with the lock held, or until then: whether
   it holds. Handlers run without the lock. *)
let rec wait_until ?until t condition =
  if in_its_thread t then
    invalid_arg "Xlchild_supervisor: waiting in the supervisor's own thread";
  if Unix.getpid () <> t.owner then raise (Error Closed);
  let count = Xlchild_syslog.Bell.count t.changed in
  locked t condition
  || (match until with Some at -> Xlchild.now () < at | None -> true)
     && begin
          Xlchild_syslog.Bell.wait ?until t.changed count;
          wait_until ?until t condition
        end

(* The tag of the event of every child; others count from 1. *)
let every_child = 0

let next_number t =
  t.numbers <- t.numbers + 1;
  t.numbers

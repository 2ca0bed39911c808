(* loop.ml - all services of one supervisor, served by one thread

   Called by turns.ml and xlchild_supervisor.ml. What happens in a turn, in this
   order:

       poll -> output, readiness, ends, time -> machine.ml -> its actions:
       launch, terminate, tell -> the state file -> the host's closure

   Other threads feed machines and wake the thread up. [lock] guards machines,
   their pending actions and the lists; descriptors and children are the
   thread's own. It is held while neither a child is started, a file is
   written, nor a closure of the host runs. *)

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

(* ---- the state file ---- *)

let living name run child start_time ready : State_file.entry =
  let pid = Xlchild.Child.pid child in
  { name; run; stage = Living { pid; start_time; ready } }

let entries t ~intended =
  locked t @@ fun () ->
  List.filter_map
    (fun m ->
      let ready = Machine.is_ready m.machine in
      Option.map
        (fun child -> living m.service.name m.run child m.start_time ready)
        m.child)
    t.members
  @ List.map
      (fun l ->
        living l.left_name l.left_run l.left_child l.left_start l.left_ready)
      t.left
  @ List.map
      (fun m : State_file.entry ->
        { name = m.service.name; run = m.run; stage = Intended })
      intended
  @ t.untold

let save ?(intended = []) t =
  Option.iter
    (fun journal ->
      match Journal.save journal (entries t ~intended) with
      | () ->
          t.dirty <- false;
          t.save_fails <- false
      | exception Unix.Unix_error (errno, _, _) ->
          if not t.save_fails then
            tell t ~service:"" ~run:"" (State_not_kept errno);
          t.save_fails <- true)
    t.journal

(* ---- what a service writes ---- *)

let pour t m data =
  match Sink.add m.sink data with
  | None -> m.log_fails <- false
  | Some errno ->
      if not m.log_fails then
        tell t ~service:m.service.name ~run:m.run (Output_lost errno);
      m.log_fails <- true

let read_output t m =
  Option.iter
    (fun channel ->
      Channel.read channel (function
        | `End -> ()
        | `Data data ->
            pour t m data;
            if Readiness.said m.watch data then input t m Is_ready))
    m.output

let end_watch m =
  Readiness.close m.watch;
  m.watch <- Readiness.nothing

(* ---- starting ---- *)

let folder t = Option.map Journal.folder t.journal

let mark t m =
  let folder =
    Option.fold ~none:"-" ~some:Journal.identity t.journal
  in
  ( Processes.variable,
    Processes.mark ~folder ~name:m.service.name ~run:m.run )

let standard_descriptors m =
  let output =
    match m.output with
    | None -> Xlchild.Null
    | Some channel -> Xlchild.Fd (Channel.target channel)
  in
  [ (0, Xlchild.Null); (1, output); (2, output) ]

let trouble ?errno ?argument code : Xlchild.error =
  { code; stage = Prepare; errno; argument; program = None; path = None }

let started t m child =
  let pid = Xlchild.Child.pid child in
  (* without /proc, 0: a record that names nobody *)
  m.start_time <- Result.value (Xlchild.start_time_result pid) ~default:0;
  m.child <- Some child;
  m.held <- true;
  Keeping.hold t.keeping ~run:m.run ~pid:(pid :> int) ~start_time:m.start_time;
  input t m (Launched pid)

let launch t m =
  t.dirty <- true;
  match
    Option.iter Cgroup.prepare m.service.cgroup;
    Readiness.start ~folder:(folder t) m.service
  with
  | exception Unix.Unix_error (errno, _, argument) ->
      input t m (Not_launched (trouble ~errno ~argument System))
  | watch -> (
      m.watch <- watch;
      let command =
        m.service.command
          (standard_descriptors m @ Readiness.descriptors watch)
          (mark t m)
      in
      (* it is told by the event of all children, and stays a zombie until its
         group is killed *)
      let result = Xlchild.start_result t.ctx command ~report:Hold in
      Readiness.started watch;
      match result with
      | Ok child -> started t m child
      | Result.Error error ->
          end_watch m;
          input t m (Not_launched error))

(* ---- stopping ---- *)

(* One that was adopted is in no cgroup that the library knows of, and leads a
   group only as far as the kernel can signal that by its pidfd; the members of
   a cgroup can be signalled only where there are pidfds. *)
let terminate m =
  let rec by_scopes child = function
    | [] -> ()
    | scope :: narrower -> (
        let policy = { m.service.stop with scope } in
        match Xlchild.Child.terminate_result ~policy child with
        | Ok () -> ()
        | Result.Error _ -> by_scopes child narrower)
  in
  let scopes : Xlchild.scope list =
    match m.service.stop.scope with
    | Control_group -> [ Control_group; Process_group; Process ]
    | Process_group -> [ Process_group; Process ]
    | Process -> [ Process ]
  in
  Option.iter (fun child -> by_scopes child scopes) m.child

let ending_of (ended : Xlchild.ended) =
  match ended.status with
  | Xlchild.Status status -> Status status
  | Xlchild.Lost reason -> Lost (Not_told reason)

(* Tells it, and keeps it in the state file until the host has been told. *)
let tell_end t (entry : State_file.entry) =
  let what =
    match entry.stage with
    | Over { pid; ending; cause } -> Some (Ended { pid; ending; cause })
    | Unknown -> Some Start_unknown
    | Intended | Living _ -> None
  in
  Option.iter
    (fun what ->
      locked t (fun () -> t.untold <- entry :: t.untold);
      t.dirty <- true;
      tell t ~service:entry.name ~run:entry.run what)
    what

(* ---- what an ended one leaves in its group ---- *)

(* Members are killed one by one, by pidfd, and only with the mark of the run:
   the leader has ended, so that the group's number may be a stranger's. *)
let kill_workers t ~group ~name ~run =
  let folder = Option.fold ~none:"-" ~some:Journal.identity t.journal in
  let mark = Processes.mark ~folder ~name ~run in
  let workers = Processes.in_group ~group ~mark in
  List.iter
    (fun (w : Processes.worker) ->
      if w.marked then
        match
          Xlchild.adopt_result t.ctx ~report:Silent
            (By_start_time { pid = w.worker; start_time = w.since })
        with
        | Ok child -> ignore (Xlchild.Child.kill_result child Sys.sigkill)
        | Result.Error _ -> ())
    workers;
  List.exists (fun (w : Processes.worker) -> w.marked || w.leaving) workers

(* Whether anybody is in it; zombies count. *)
let is_group group =
  group > 1
  &&
  match Unix.kill (-group) 0 with
  | () -> true
  | exception Unix.Unix_error (Unix.ESRCH, _, _) -> false
  | exception Unix.Unix_error _ -> true

let patience_with_rest = 5.
let between_looks = 0.05

(* One that is told to be stopped alone leaves what it started as it is. *)
let is_gone t m rest =
  let group = (rest.of_child.Xlchild.pid :> int) in
  let look () =
    let now = Xlchild.now () in
    if now < rest.next_look then true
    else begin
      rest.next_look <- now +. between_looks;
      kill_workers t ~group ~name:m.service.name ~run:m.run
    end
  in
  let of_cgroup =
    match m.service.cgroup with
    | None -> false
    | Some path -> Cgroup.members path <> []
  in
  (not of_cgroup)
  && (m.service.stop.scope = Process
     || (not (is_group group))
     || not (look ()))

let finish t m rest =
  m.rest <- None;
  read_output t m;
  Sink.end_run m.sink;
  end_watch m;
  locked t (fun () ->
      m.child <- None;
      feed m (Has_ended (ending_of rest.of_child)))

let look_at_rest t m =
  Option.iter
    (fun rest ->
      if is_gone t m rest || Xlchild.now () >= rest.until then finish t m rest)
    m.rest

(* One of ours is not reaped yet: its number is its group's, and nobody else's. *)
let kill_group m (ended : Xlchild.ended) =
  match m.child with
  | Some child when m.held ->
      (if m.service.stop.scope <> Process && (ended.pid :> int) > 1 then
       try Unix.kill (-(ended.pid :> int)) Sys.sigkill with Unix.Unix_error _ -> ());
      ignore (Xlchild.Child.detach_result child);
      m.held <- false
  | _ -> ()

let member_ended t m (ended : Xlchild.ended) =
  kill_group m ended;
  Option.iter Cgroup.kill m.service.cgroup;
  m.rest <-
    Some
      {
        of_child = ended;
        until = Xlchild.now () +. patience_with_rest;
        next_look = 0.;
      };
  look_at_rest t m

(* The same for one that is no member: it is waited for here. *)
let clear_group t ~group ~name ~run =
  let until = Xlchild.now () +. 1. in
  let rec wait () =
    if
      kill_workers t ~group ~name ~run
      && is_group group
      && Xlchild.now () < until
    then begin
      ignore (Xlchild.poll ~timeout:0.002 []);
      wait ()
    end
  in
  if is_group group then wait ()

let tell_left_end t l pid (ended : Xlchild.ended) =
  tell_end t
    {
      name = l.left_name;
      run = l.left_run;
      stage = Over { pid; ending = ending_of ended; cause = By_itself };
    }

(* The lock is held: from here on nobody adopts it, and its name is not started
   before its group is gone. *)
let take_left t tag =
  let found = List.find_opt (fun l -> l.left_number = tag) t.left in
  Option.iter
    (fun l ->
      t.left <- List.filter (fun other -> other != l) t.left;
      t.clearing <- l.left_name :: t.clearing)
    found;
  found

let left_ended t l ended =
  let pid = Xlchild.Child.pid l.left_child in
  Fun.protect
    ~finally:(fun () ->
      locked t (fun () ->
          t.clearing <- List.filter (( <> ) l.left_name) t.clearing);
      Xlchild_syslog.Bell.ring t.changed)
    (fun () ->
      clear_group t ~group:(pid :> int) ~name:l.left_name ~run:l.left_run);
  tell_left_end t l pid ended

let rec take_events t =
  match Xlchild.check t.ctx with
  | None -> ()
  | Some (Exited { tag; ended }) ->
      let member, left =
        locked t (fun () ->
            ( List.find_opt
                (fun m ->
                  if tag <> every_child then m.number = tag && not m.held
                  else
                    m.held
                    &&
                    match m.child with
                    | Some child -> Xlchild.Child.id child = ended.id
                    | None -> false)
                t.members,
              take_left t tag ))
      in
      Option.iter (fun m -> member_ended t m ended) member;
      Option.iter (fun l -> left_ended t l ended) left;
      take_events t
  | Some _ -> take_events t

(* ---- doing what machines answer ---- *)

(* Those that are to be launched are so after a record of all of them. *)
let do_action t m : Machine.action -> [ `Launch | `Done ] = function
  | Launch ->
      t.runs <- t.runs + 1;
      m.run <- Printf.sprintf "%s-%d" t.life t.runs;
      `Launch
  | Terminate ->
      terminate m;
      `Done
  | Tell (Ended { pid; ending; cause }) ->
      tell_end t
        {
          name = m.service.name;
          run = m.run;
          stage = Over { pid; ending; cause };
        };
      `Done
  | Tell what ->
      (match what with Ready | Adopted _ -> t.dirty <- true | _ -> ());
      tell t ~service:m.service.name ~run:m.run what;
      `Done

let rec act t =
  let pending =
    locked t @@ fun () ->
    List.filter_map
      (fun m ->
        let actions = m.pending in
        m.pending <- [];
        if actions = [] then None else Some (m, actions))
      t.members
  in
  if pending <> [] then begin
    let launching =
      List.filter
        (fun (m, actions) ->
          List.mem `Launch (List.map (do_action t m) actions))
        pending
    in
    if launching <> [] then save t ~intended:(List.map fst launching);
    List.iter (fun (m, _) -> launch t m) launching;
    act t
  end

let call_host t event =
  try t.on_event event with exn -> t.on_exception exn

(* Ends are in the file before they are told, and go after. *)
let settle t =
  if t.dirty then save t;
  let news = List.rev t.news in
  t.news <- [];
  List.iter (call_host t) news;
  let told = locked t (fun () ->
      let told = t.untold in
      t.untold <- [];
      told)
  in
  if told <> [] then save t;
  List.iter
    (fun (e : State_file.entry) -> Keeping.drop t.keeping ~run:e.run)
    told

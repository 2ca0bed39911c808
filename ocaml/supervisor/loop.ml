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
include Members

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

(* ---- what an ended one leaves behind ---- *)

(* Members are killed one by one, by pidfd, and only with the mark of the run:
   the leader has ended, so that the group's number may be a stranger's. *)
let kill_workers ?group t ~name ~run =
  let folder = Option.fold ~none:"-" ~some:Journal.identity t.journal in
  let mark = Processes.mark ~folder ~name ~run in
  let workers = Processes.workers ?group ~mark () in
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

(* What a previous life's run has left, if that life has said so. *)
let kin_left t ~name ~run =
  Option.bind t.journal (fun journal ->
      Kin.load (Journal.folder journal) ~boot:(Journal.boot journal) ~name ~run
        ~clear:(fun () -> kill_workers t ~name ~run))

let let_kin_go t m =
  Option.iter Kin.let_go m.kin;
  m.kin <- None;
  Option.iter
    (fun journal -> Kin.forget (Journal.folder journal) m.service.name)
    t.journal

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

(* The family is there before the child, and the next life knows of it. *)
let make_kin t m policy =
  let made = Xlchild.Family.create_result ~policy t.ctx in
  Result.iter
    (fun family ->
      m.kin <- Some (Kin.Held (policy, family));
      Option.iter
        (fun journal ->
          Kin.save (Journal.folder journal) ~boot:(Journal.boot journal)
            ~name:m.service.name ~run:m.run policy family)
        t.journal)
    made;
  Result.map Option.some made

let start_in t m family watch =
  m.watch <- watch;
  let command =
    m.service.command family
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
      let_kin_go t m;
      input t m (Not_launched error)

let launch_now t m =
  t.dirty <- true;
  m.delayed <- None;
  let_kin_go t m;
  match
    Option.iter Cgroup.prepare m.service.cgroup;
    Readiness.start ~folder:(folder t) m.service
  with
  | exception Unix.Unix_error (errno, _, argument) ->
      input t m (Not_launched (trouble ~errno ~argument System))
  | watch -> (
      match
        Option.fold m.service.family ~none:(Ok None) ~some:(make_kin t m)
      with
      | Ok family -> start_in t m family watch
      | Result.Error error ->
          Readiness.close watch;
          input t m (Not_launched error))

let patience_with_rest = 5.

(* Whoever the last run has left is gone before the next one. *)
let launch t m =
  match m.kin with
  | Some kin when Kin.is_in_the_way kin ->
      Kin.stop kin;
      m.delayed <- Some (Xlchild.now () +. patience_with_rest)
  | _ -> launch_now t m

let look_at_delayed t m =
  match (m.delayed, m.kin) with
  | Some until, Some kin
    when Kin.is_in_the_way kin && Xlchild.now () < until ->
      ()
  | Some _, _ -> launch_now t m
  | None, _ -> ()

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
  let by_its_family child =
    match m.kin with
    | Some (Kin.Held ((On_timeout | On_failure | Always), _)) ->
        Result.is_ok (Xlchild.Child.terminate_result child)
    | _ -> false
  in
  Option.iter
    (fun child -> if not (by_its_family child) then by_scopes child scopes)
    m.child

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

(* Whether anybody is in it; zombies count. *)
let is_group group =
  group > 1
  &&
  match Unix.kill (-group) 0 with
  | () -> true
  | exception Unix.Unix_error (Unix.ESRCH, _, _) -> false
  | exception Unix.Unix_error _ -> true

let between_looks = 0.05

let is_kin_gone rest kin =
  let now = Xlchild.now () in
  (not rest.kin_goes)
  || now >= rest.next_look
     && begin
          rest.next_look <-
            (now
            +. match kin with Kin.Held _ -> 0. | Kin.Left _ -> between_looks);
          Kin.is_gone kin
        end

(* One that is told to be stopped alone leaves what it started as it is. *)
let is_group_gone t m rest =
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

let is_gone t m rest =
  match m.kin with
  | Some kin -> is_kin_gone rest kin
  | None -> is_group_gone t m rest

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
  if m.kin = None && m.service.stop.scope <> Process && (ended.pid :> int) > 1
  then
    try Unix.kill (-(ended.pid :> int)) Sys.sigkill
    with Unix.Unix_error _ -> ()

let tell_account t m child =
  ignore (Xlchild.Child.wait_result child ~timeout:0.);
  Option.iter
    (fun account ->
      tell t ~service:m.service.name ~run:m.run
        (Accounted { pid = Xlchild.Child.pid child; account }))
    (Xlchild.Child.account child)

let reap t m ended =
  match m.child with
  | Some child when m.held ->
      kill_group m ended;
      if m.service.account then tell_account t m child;
      ignore (Xlchild.Child.detach_result child);
      m.held <- false
  | _ -> ()

let has_failed (ended : Xlchild.ended) =
  ended.status <> Xlchild.Status (Unix.WEXITED 0)

let member_ended t m (ended : Xlchild.ended) =
  reap t m ended;
  Option.iter Cgroup.kill m.service.cgroup;
  let told = Machine.state m.machine = Stopping in
  let kin_goes =
    Option.fold m.kin ~none:false
      ~some:(Kin.child_ended ~told ~failed:(has_failed ended))
  in
  m.rest <-
    Some
      {
        of_child = ended;
        until = Xlchild.now () +. patience_with_rest;
        next_look = 0.;
        kin_goes;
      };
  look_at_rest t m

(* The same for one that is no member: it is waited for here. *)
let clear_group t ~group ~name ~run ~failed =
  let until = Xlchild.now () +. 1. in
  let rec wait is_there =
    if is_there () && Xlchild.now () < until then begin
      ignore (Xlchild.poll ~timeout:0.002 []);
      wait is_there
    end
  in
  match kin_left t ~name ~run with
  | Some kin ->
      if Kin.child_ended kin ~told:false ~failed then
        wait (fun () -> not (Kin.is_gone kin));
      Kin.let_go kin;
      Option.iter
        (fun journal -> Kin.forget (Journal.folder journal) name)
        t.journal
  | None ->
      if is_group group then
        wait (fun () -> kill_workers t ~group ~name ~run && is_group group)

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
      clear_group t ~group:(pid :> int) ~name:l.left_name ~run:l.left_run
        ~failed:(has_failed ended));
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

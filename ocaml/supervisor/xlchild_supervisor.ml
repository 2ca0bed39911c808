(* xlchild_supervisor.ml - what the host calls

   Its thread runs in turns.ml; what is done here is under the lock of that, and
   short: machines are fed, and the thread is woken up. *)

include Types
include Words
open Xlchild_syslog
module Policy = Policy
module Stream = Stream

type service = Service.t

let service = Service.make

type t = { loop : Loop.t; thread : Thread.t }
type member = { of_ : t; member : Loop.member }

let result_of f = match f () with x -> Ok x | exception Error e -> Result.Error e

(* ---- making one ---- *)

let random_name () =
  let file = open_in_bin "/dev/urandom" in
  let bytes =
    Fun.protect
      ~finally:(fun () -> close_in file)
      (fun () -> really_input_string file 8)
  in
  String.concat ""
    (List.init 8 (fun i -> Printf.sprintf "%02x" (Char.code bytes.[i])))

let print_exception exn =
  prerr_endline ("Xlchild_supervisor: on_event: " ^ Printexc.to_string exn)

(* The kernel tells whoever has had its pidfd open since before it was reaped. *)
let patience_with_init = 1.

let ended_meanwhile (loop : Loop.t) run =
  match Keeping.find loop.keeping ~run with
  | None -> Lost While_away
  | Some { pidfd; _ } -> (
      match Xlchild.adopt_result loop.ctx (By_pidfd pidfd) ~report:Hold with
      | Result.Error _ -> Lost While_away
      | Ok child -> (
          match
            Xlchild.Child.wait_result child ~timeout:patience_with_init
          with
          | Ok ended -> Loop.ending_of ended
          | Result.Error _ -> Lost While_away))

let take_over (loop : Loop.t) : Journal.left -> unit = function
  | Gone entry -> Loop.tell_end loop entry
  | Alive { name; run; pid; start_time; ready } -> (
      let number = Loop.next_number loop in
      match
        Xlchild.adopt_result loop.ctx
          (By_start_time { pid; start_time })
          ~report:(Event number)
      with
      | Ok left_child ->
          (* in case that whoever had its pidfd has gone *)
          Keeping.hold loop.keeping ~run ~pid:(pid :> int) ~start_time
            ~is_it:(fun () ->
              Xlchild.start_time_result pid = Ok start_time);
          loop.left <-
            {
              left_number = number;
              left_name = name;
              left_run = run;
              left_start = start_time;
              left_ready = ready;
              left_child;
            }
            :: loop.left
      | Result.Error _ ->
          let ending = ended_meanwhile loop run and cause = By_itself in
          Loop.clear_group loop ~group:(pid :> int) ~name ~run
            ~failed:(ending <> Status (Unix.WEXITED 0));
          Loop.tell_end loop
            { name; run; stage = Over { pid; ending; cause } })

let look_back (loop : Loop.t) =
  Option.iter
    (fun journal ->
      let kept run =
        Option.map
          (fun (k : Keeping.kept) -> (k.pid, k.start_time))
          (Keeping.find loop.keeping ~run)
      in
      let left, trouble = Journal.load journal ~kept in
      Option.iter
        (fun reason -> Loop.tell loop ~service:"" ~run:"" (State_lost reason))
        trouble;
      List.iter (take_over loop) left;
      if trouble = None then
        Keeping.retain loop.keeping (List.map Journal.run_of left);
      loop.dirty <- true)
    loop.journal

let make_loop ctx journal keeping on_event on_exception : Loop.t =
  let wake_r, wake_w =
    try Unix.pipe ~cloexec:true ()
    with Unix.Unix_error (errno, _, _) ->
      raise (Error (Context (Loop.trouble ~errno Xlchild.System)))
  in
  Unix.set_nonblock wake_r;
  Unix.set_nonblock wake_w;
  {
    ctx;
    journal;
    keeping;
    on_event;
    on_exception;
    owner = Unix.getpid ();
    life = random_name ();
    lock = Mutex.create ();
    changed = Bell.make ();
    wake_r;
    wake_w;
    members = [];
    left = [];
    runs = 0;
    numbers = 0;
    news = [];
    untold = [];
    dirty = false;
    save_fails = false;
    reopen = false;
    adding = [];
    clearing = [];
    closing = false;
    leave = false;
    stopping = false;
    finished = false;
    over = false;
    trouble = None;
    thread = None;
  }

let create ?state_folder ?(on_event = ignore)
    ?(on_exception = print_exception) () =
  Elsewhere.run @@ fun () ->
  let ctx =
    match Xlchild.create_result () with
    | Ok ctx -> ctx
    | Result.Error error -> raise (Error (Context error))
  in
  let journal = ref None and keeping = ref (Keeping.nowhere ()) in
  match
    ignore (Xlchild.evenable_exit ~tag:Loop.every_child ctx);
    journal := Option.map Journal.open_ state_folder;
    Option.iter
      (fun journal ->
        keeping :=
          Keeping.open_ (Journal.folder journal)
            ~identity:(Journal.identity journal))
      !journal;
    let loop = make_loop ctx !journal !keeping on_event on_exception in
    look_back loop;
    loop
  with
  | loop -> { loop; thread = Thread.create Turns.serve loop }
  | exception exn ->
      Keeping.close !keeping ~leave:true;
      Option.iter Journal.close !journal;
      Xlchild.close ctx;
      raise exn

let create_result ?state_folder ?on_event ?on_exception () =
  result_of (create ?state_folder ?on_event ?on_exception)

(* In a child of fork it is the parent's. *)
let is_open t = (not t.loop.closing) && Unix.getpid () = t.loop.owner
let check_open t = if not (is_open t) then raise (Error Closed)

(* ---- members ---- *)

let find_member (loop : Loop.t) name =
  List.find_opt
    (fun (m : Loop.member) -> m.service.name = name && not m.removed)
    loop.members

let open_channel loop (service : Service.t) =
  match (service.output, service.readiness) with
  | Discard, (At_once | Newline_on _ | File _) -> None
  | Discard, Line _ | (Syslog _ | Log_file _), _ ->
      Some
        (Channel.open_ ~folder:(Loop.folder loop) ~fresh:false
           (service.name ^ ".output"))

(* The pipe of a service that a previous life started, or that the next one
   will find. What was written in between comes first. *)
let open_spool loop (service : Service.t) channel =
  match (Loop.folder loop, channel) with
  | None, _ | _, None -> None
  | Some folder, Some _ ->
      let tag = match service.output with Syslog key -> key | _ -> "" in
      Spool.open_ ~folder ~tag
        ~name:(service.name ^ ".spool")
        ~pipe:(service.name ^ ".output")

let make_member loop (service : Service.t) : Loop.member * (string * bool) =
  let sink =
    try Sink.open_ service.output
    with Unix.Unix_error (errno, _, path) ->
      raise (Error (Log_unusable (path, errno)))
  in
  let channel = ref None in
  match
    channel := open_channel loop service;
    let spool = open_spool loop service !channel in
    let pour text = ignore (Sink.add sink text) in
    let before =
      match spool with
      | None -> ("", false)
      | Some spool -> Spool.take spool pour
    in
    (!channel, spool, before)
  with
  | output, spool, before ->
      ( {
        service;
        sink;
        output;
        spool;
        number = 0;
        machine = Machine.make service;
        pending = [];
        run = "";
        start_time = 0;
        child = None;
        held = false;
        rest = None;
        kin = None;
        delayed = None;
        watch = Readiness.nothing;
        log_fails = false;
        leaving = false;
        removed = false;
      }, before )
  | exception Unix.Unix_error (errno, _, path) ->
      Sink.close sink;
      Option.iter Channel.close !channel;
      raise (Error (Folder_unusable (path, errno)))

(* The lock is held. *)
let adopt (loop : Loop.t) (m : Loop.member) (l : Loop.left) ~said =
  loop.left <- List.filter (fun other -> other != l) loop.left;
  m.number <- l.left_number;
  m.run <- l.left_run;
  m.start_time <- l.left_start;
  m.child <- Some l.left_child;
  m.kin <- Loop.kin_left loop ~name:l.left_name ~run:l.left_run;
  (try m.watch <- Readiness.resume ~folder:(Loop.folder loop) m.service
   with Unix.Unix_error _ -> () (* it stays unready *));
  let pid = Xlchild.Child.pid l.left_child in
  Loop.feed m (Adopt { pid; ready = l.left_ready });
  if Readiness.said m.watch said then Loop.feed m Is_ready

(* What is open of a service is so once: its name is nobody else's meanwhile. *)
let reserving (loop : Loop.t) name f =
  if not (Loop.in_its_thread loop) then
    ignore
      (Loop.wait_until loop (fun () -> not (List.mem name loop.clearing)));
  Loop.locked loop (fun () ->
      if loop.closing then raise (Error Closed);
      if find_member loop name <> None || List.mem name loop.adding then
        raise (Error (Name_taken name));
      loop.adding <- name :: loop.adding);
  Fun.protect f ~finally:(fun () ->
      Loop.locked loop (fun () ->
          loop.adding <- List.filter (( <> ) name) loop.adding))

let enter (loop : Loop.t) (m : Loop.member) ~start ~said ~dropped =
  Loop.locked loop @@ fun () ->
  if loop.closing then raise (Error Closed);
  loop.members <- loop.members @ [ m ];
  if dropped then m.pending <- [ Tell (Output_lost Unix.ENOSPC) ];
  (match
     List.find_opt
       (fun (l : Loop.left) -> l.left_name = m.service.name)
       loop.left
   with
  | Some l -> adopt loop m l ~said
  | None ->
      m.number <- Loop.next_number loop;
      if start then Loop.feed m Start);
  Loop.wake loop

let add_here t service ~start =
  let m =
    reserving t.loop service.Service.name @@ fun () ->
    let m, (said, dropped) = make_member t.loop service in
    match enter t.loop m ~start ~said ~dropped with
    | () -> m
    | exception exn ->
        Turns.release t.loop ~leave:true m;
        raise exn
  in
  { of_ = t; member = m }

let add ?(start = true) t service =
  check_open t;
  Option.iter
    (fun path ->
      if Cgroup.holds_this_process path then
        invalid_arg "Xlchild_supervisor.add: the cgroup holds this process")
    service.Service.cgroup;
  let here () = add_here t service ~start in
  if Loop.in_its_thread t.loop then here () else Elsewhere.run here

let add_result ?start t service = result_of (fun () -> add ?start t service)

(* ---- what is asked of them ---- *)

let locked m f =
  Loop.locked m.of_.loop (fun () ->
      if m.member.removed then raise (Error Closed);
      f m.member)

let ask m inputs =
  check_open m.of_;
  locked m (fun member ->
      Loop.feed_all member inputs;
      Loop.wake m.of_.loop)

let state_of (m : Loop.member) = Machine.state m.machine

let wait_until m condition =
  ignore (Loop.wait_until m.of_.loop (fun () -> condition m.member))

let start m = ask m [ Start ]

let refuse_here m ~wait =
  if wait && Loop.in_its_thread m.of_.loop then
    invalid_arg "Xlchild_supervisor: waiting in the supervisor's own thread"

let stop ?(wait = true) m =
  refuse_here m ~wait;
  ask m [ Stop ];
  if wait then wait_until m Turns.is_over

let restart ?(wait = true) m =
  refuse_here m ~wait;
  ask m [ Stop; Start ];
  if wait then
    wait_until m (fun member ->
        member.pending = []
        &&
        match state_of member with
        | Running | Failed | Stopped -> true
        | Starting | Stopping | Waiting -> false)

let remove ?(wait = true) m =
  refuse_here m ~wait;
  locked m (fun member ->
      Loop.feed member Stop;
      member.leaving <- true;
      Loop.wake m.of_.loop);
  if wait then wait_until m (fun member -> member.removed)

let state m = Loop.locked m.of_.loop (fun () -> state_of m.member)
let pid m = Loop.locked m.of_.loop (fun () -> Machine.pid m.member.machine)
let name m = m.member.service.name

let family m =
  let kin = Loop.locked m.of_.loop (fun () -> m.member.kin) in
  Option.bind kin Kin.state

let await ?timeout m condition =
  (match timeout with
  | Some t when Float.is_nan t ->
      invalid_arg "Xlchild_supervisor.await: a timeout of nan"
  | _ -> ());
  let until = Option.map (fun t -> Xlchild.now () +. t) timeout in
  Loop.wait_until ?until m.of_.loop (fun () -> condition (state_of m.member))

let find t name =
  Loop.locked t.loop (fun () ->
      Option.map
        (fun member -> { of_ = t; member })
        (find_member t.loop name))

let reopen_logs t =
  check_open t;
  Loop.locked t.loop (fun () ->
      t.loop.reopen <- true;
      Loop.wake t.loop)

(* ---- what a previous life left ---- *)

let left t =
  Loop.locked t.loop (fun () ->
      List.map
        (fun (l : Loop.left) -> (l.left_name, Xlchild.Child.pid l.left_child))
        t.loop.left)

let stop_left t =
  check_open t;
  let all = Loop.locked t.loop (fun () -> t.loop.left) in
  let policy scope = { Xlchild.default_kill with scope } in
  List.iter
    (fun (l : Loop.left) ->
      match
        Xlchild.Child.terminate_result l.left_child
          ~policy:(policy Process_group)
      with
      | Result.Error { code = Invalid | Not_implemented; _ } ->
          ignore
            (Xlchild.Child.terminate_result l.left_child
               ~policy:(policy Process))
      | Ok () | Result.Error _ -> ())
    all;
  Loop.locked t.loop (fun () -> Loop.wake t.loop);
  ignore
    (Loop.wait_until t.loop (fun () ->
         not (List.exists (fun l -> List.memq l all) t.loop.left)))

(* ---- closing ---- *)

(* Its thread closes it, whether this waits or a handler has raised. *)
let ask_to_close t ~leave =
  Loop.locked t.loop (fun () ->
      let first = not t.loop.closing in
      Turns.ask_to_close t.loop ~leave;
      first)

let close ?(leave = false) t =
  if Loop.in_its_thread t.loop then
    invalid_arg "Xlchild_supervisor.close: in the supervisor's own thread";
  if not (is_open t && ask_to_close t ~leave) then raise (Error Closed);
  ignore (Loop.wait_until t.loop (fun () -> t.loop.over));
  Thread.join t.thread;
  Option.iter raise t.loop.trouble

let close_if_open t = if is_open t then close t

(* As Xlchild.with_context. *)
let with_supervisor ?state_folder ?on_event ?on_exception f =
  let t = create ?state_folder ?on_event ?on_exception () in
  match
    match f t with
    | x ->
        close_if_open t;
        x
    | exception exn ->
        let backtrace = Printexc.get_raw_backtrace () in
        (try close_if_open t with _ -> ());
        Printexc.raise_with_backtrace exn backtrace
  with
  | x -> x
  | exception exn ->
      if is_open t then ignore (ask_to_close t ~leave:false);
      raise exn

(* xlchild_supervisor.ml - services, served by one thread

   The thread polls the context, a pipe that wakes it, and what services write;
   everything it touches is under [lock], which no closure of the host's runs
   under: news is queued and told afterwards. *)

open Xlchild

type readiness =
  | At_once
  | Line of string
  | Descriptor of int
  | File of string

type back_off = {
  first : float;
  factor : float;
  most : float;
  settled : float;
  attempts : int;
}

let patient =
  { first = 0.5; factor = 2.; most = 30.; settled = 60.; attempts = 100 }

type restart = Never | On_failure of back_off | Always of back_off

type output =
  | Discard
  | Syslog of string
  | Log_file of { path : string; most : int; keep : int }

type service = {
  name : string;
  build : (int * fd_source) list -> command;
  readiness : readiness;
  ready_within : float;
  restart : restart;
  output : output;
  stop : kill_policy;
}

let service ?(readiness = At_once) ?(ready_within = 30.)
    ?(restart = On_failure patient) ?(output = Discard)
    ?(stop = { default_kill with scope = Process_group }) ?env ?cwd ~name
    program arguments =
  let build fds =
    command ?env ?cwd ~fds:(Fd_map.of_list fds) ~session:New_group ~kill:stop
      program arguments
  in
  { name; build; readiness; ready_within; restart; output; stop }

type news =
  | Started of int
  | Adopted of int
  | Ready
  | Not_ready_in_time
  | Ended of { ended : ended; expected : bool }
  | Not_started of error
  | Starting_again_in of float
  | Given_up

type state = Stopped | Starting | Running | Waiting | Stopping | Failed

(* ---- where output goes ---- *)

type log_file = {
  path : string;
  most : int;
  keep : int;
  mutable fd : Unix.file_descr;
  mutable size : int;
}

type sink = Nothing | To_syslog of Xlchild_syslog.t | To_file of log_file

let open_log path =
  Unix.openfile path
    [ Unix.O_WRONLY; Unix.O_APPEND; Unix.O_CREAT; Unix.O_CLOEXEC ]
    0o644

let sink_of = function
  | Discard -> Nothing
  | Syslog key -> To_syslog (Xlchild_syslog.make key)
  | Log_file { path; most; keep } ->
      if most < 1 then invalid_arg "Xlchild_supervisor: a log file of no bytes";
      let fd = open_log path in
      To_file { path; most; keep; fd; size = (Unix.fstat fd).st_size }

let rotate log =
  let numbered i = Printf.sprintf "%s.%d" log.path i in
  let move a b = try Unix.rename a b with Unix.Unix_error _ -> () in
  Unix.close log.fd;
  for i = log.keep - 1 downto 1 do
    move (numbered i) (numbered (i + 1))
  done;
  if log.keep > 0 then move log.path (numbered 1)
  else (try Unix.unlink log.path with Unix.Unix_error _ -> ());
  log.fd <- open_log log.path;
  log.size <- 0

let rec write_all fd data at =
  if at < String.length data then
    let n = Unix.write_substring fd data at (String.length data - at) in
    write_all fd data (at + n)

(* No file grows beyond [most]; lines stay whole where they fit into one. *)
let rec append log data =
  let room = log.most - log.size in
  if String.length data <= room then begin
    write_all log.fd data 0;
    log.size <- log.size + String.length data
  end
  else
    let fits =
      if room <= 0 then 0
      else
        match String.rindex_from_opt data (room - 1) '\n' with
        | Some i -> i + 1
        | None -> if log.size = 0 then room else 0
    in
    write_all log.fd (String.sub data 0 fits) 0;
    rotate log;
    append log (String.sub data fits (String.length data - fits))

(* A log that cannot be written does not stop the daemon. *)
let pour sink data =
  match sink with
  | Nothing -> ()
  | To_syslog lines -> Xlchild_syslog.add lines data
  | To_file log -> ( try append log data with Unix.Unix_error _ -> ())

let close_sink = function
  | To_file log -> Unix.close log.fd
  | To_syslog lines -> Xlchild_syslog.add lines ""
  | Nothing -> ()

(* ---- a service under supervision ---- *)

(* A service writes to the second; a named pipe is one descriptor twice. *)
type pipe = { source : Unix.file_descr; target : Unix.file_descr }

type entry = {
  spec : service;
  number : int;
  sink : sink;
  pipe : pipe option;
  mutable state : state;
  mutable child : Child.t option;
  mutable wanted : bool;  (* false once it was told to stop *)
  mutable started_at : float;
  mutable failures : int;  (* starts in a row that did not settle *)
  mutable due : float option;  (* ready by then; or started again then *)
  mutable ready : Unix.file_descr option;
  mutable line : string;  (* unfinished, while a line is awaited *)
}

type t = {
  ctx : Xlchild.t;
  folder : string option;
  on_news : string -> news -> unit;
  lock : Mutex.t;
  changed : Condition.t;
  wake_r : Unix.file_descr;
  wake_w : Unix.file_descr;
  mutable entries : entry list;
  mutable previous : (string * (int * int)) list;  (* name, pid, start time *)
  mutable news : (string * news) list;  (* newest first *)
  mutable alarms : float list;  (* when somebody stops waiting *)
  mutable closing : bool;
  mutable thread : Thread.t option;
}

let locked t f =
  Mutex.lock t.lock;
  Fun.protect ~finally:(fun () -> Mutex.unlock t.lock) f

let wake t =
  try ignore (Unix.write_substring t.wake_w "x" 0 1)
  with Unix.Unix_error _ -> () (* full: it wakes all the same *)

let tell t e news = t.news <- (e.spec.name, news) :: t.news

(* ---- the state folder ---- *)

let state_file folder = Filename.concat folder "services"

let load folder =
  match open_in (state_file folder) with
  | exception Sys_error _ -> []
  | file ->
      let rec lines acc =
        match input_line file with
        | exception End_of_file -> acc
        | line ->
            lines
              (try
                 Scanf.sscanf line "%s %d %d" (fun name pid start ->
                     (name, (pid, start)) :: acc)
               with Scanf.Scan_failure _ | Failure _ | End_of_file -> acc)
      in
      Fun.protect ~finally:(fun () -> close_in file) (fun () -> lines [])

(* Written anew and renamed, so that a reader finds the old or the new. *)
let save t =
  match t.folder with
  | None -> ()
  | Some folder ->
      let path = state_file folder in
      let file = open_out (path ^ ".new") in
      let line name pid start = Printf.fprintf file "%s %d %d\n" name pid start in
      List.iter
        (fun e ->
          match e.child with
          | None -> ()
          | Some child -> (
              match start_time (Child.pid child) with
              | start -> line e.spec.name (Child.pid child :> int) start
              | exception Error _ -> ()))
        t.entries;
      List.iter (fun (name, (pid, start)) -> line name pid start) t.previous;
      close_out file;
      Unix.rename (path ^ ".new") path

let open_pipe folder spec =
  let awaits_line = match spec.readiness with Line _ -> true | _ -> false in
  if spec.output = Discard && not awaits_line then None
  else
    match folder with
    | None ->
        let source, target = Unix.pipe ~cloexec:true () in
        Unix.set_nonblock source;
        Some { source; target }
    | Some folder ->
        let path = Filename.concat folder (spec.name ^ ".output") in
        (try Unix.mkfifo path 0o600
         with Unix.Unix_error (Unix.EEXIST, _, _) -> ());
        let opened flags =
          Unix.openfile path (Unix.O_RDWR :: Unix.O_CLOEXEC :: flags) 0
        in
        let source = opened [ Unix.O_NONBLOCK ] in
        Some { source; target = opened [] }

(* ---- starting and stopping; the lock is held ---- *)

let forget_ready e =
  Option.iter Unix.close e.ready;
  e.ready <- None

let is_ready t e =
  forget_ready e;
  e.line <- "";
  e.due <- None;
  e.state <- Running;
  tell t e Ready

(* How long until the next start; None: no further one. *)
let back_off e b =
  if now () -. e.started_at >= b.settled then e.failures <- 0;
  e.failures <- e.failures + 1;
  if e.failures > b.attempts then None
  else
    Some (min b.most (b.first *. (b.factor ** float (e.failures - 1))))

(* The service is not running and was not told to stop. *)
let after_end t e ~failed =
  let again =
    match e.spec.restart with
    | Always b -> Some b
    | On_failure b -> if failed then Some b else None
    | Never -> None
  in
  match again with
  | None -> e.state <- (if failed then Failed else Stopped)
  | Some b -> (
      match back_off e b with
      | Some delay ->
          e.state <- Waiting;
          e.due <- Some (now () +. delay);
          tell t e (Starting_again_in delay)
      | None ->
          e.state <- Failed;
          tell t e Given_up)

let start_entry t e =
  let ready_pipe =
    match e.spec.readiness with
    | Descriptor target ->
        let r, w = Unix.pipe ~cloexec:true () in
        Some (target, r, w)
    | At_once | Line _ | File _ -> None
  in
  let output =
    match e.pipe with
    | None -> [ (0, Null); (1, Null); (2, Null) ]
    | Some { target; _ } -> [ (0, Null); (1, Fd target); (2, Fd target) ]
  in
  let extra =
    match ready_pipe with
    | Some (target, _, w) -> [ (target, Fd w) ]
    | None -> []
  in
  (match e.spec.readiness with
  | File path -> ( try Unix.unlink path with Unix.Unix_error _ -> ())
  | At_once | Line _ | Descriptor _ -> ());
  e.due <- None;
  e.started_at <- now ();
  let result =
    start_result t.ctx (e.spec.build (output @ extra)) ~report:(Event e.number)
  in
  Option.iter (fun (_, _, w) -> Unix.close w) ready_pipe;
  match result with
  | Ok child ->
      e.child <- Some child;
      e.state <- Starting;
      tell t e (Started (Child.pid child :> int));
      e.ready <- Option.map (fun (_, r, _) -> r) ready_pipe;
      if e.spec.readiness = At_once then is_ready t e
      else e.due <- Some (e.started_at +. e.spec.ready_within);
      save t
  | Result.Error error ->
      Option.iter (fun (_, r, _) -> Unix.close r) ready_pipe;
      tell t e (Not_started error);
      after_end t e ~failed:true

(* One that was adopted leads no group that the library knows of. *)
let terminate e =
  match e.child with
  | None -> ()
  | Some child -> (
      match Child.terminate_result ~policy:e.spec.stop child with
      | Result.Error { code = Invalid; _ } ->
          ignore
            (Child.terminate_result child
               ~policy:{ e.spec.stop with scope = Process })
      | Ok () | Result.Error _ -> ())

let stop_entry e =
  e.wanted <- false;
  match e.state with
  | Starting | Running ->
      e.state <- Stopping;
      e.due <- None;
      terminate e
  | Waiting | Failed ->
      e.state <- Stopped;
      e.due <- None
  | Stopped | Stopping -> ()

(* ---- what the thread does; the lock is held ---- *)

let contains text part =
  let n = String.length part in
  let rec at i =
    i + n <= String.length text && (String.sub text i n = part || at (i + 1))
  in
  at 0

let look_for_line t e part data =
  let rec lines = function
    | [] -> ()
    | [ last ] -> e.line <- last
    | line :: more -> if contains line part then is_ready t e else lines more
  in
  lines (String.split_on_char '\n' (e.line ^ data))

let buffer = Bytes.create 65536

(* All that is in the pipe, but not for ever: a service may write without end. *)
let read_output t e =
  let rec read source left =
    if left > 0 then
      match Unix.read source buffer 0 (Bytes.length buffer) with
      | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) -> ()
      | exception Unix.Unix_error (EINTR, _, _) -> read source left
      | 0 -> ()
      | n ->
          let data = Bytes.sub_string buffer 0 n in
          pour e.sink data;
          (match (e.state, e.spec.readiness) with
          | Starting, Line part -> look_for_line t e part data
          | _ -> ());
          read source (left - 1)
  in
  Option.iter (fun { source; _ } -> read source 16) e.pipe

let read_ready t e =
  match e.ready with
  | None -> ()
  | Some fd -> (
      match Unix.read fd buffer 0 1 with
      | exception Unix.Unix_error (EINTR, _, _) -> ()
      | 0 when e.state <> Starting -> forget_ready e
      | _ -> if e.state = Starting then is_ready t e else forget_ready e)

let has_ended t e (ended : ended) =
  read_output t e;
  forget_ready e;
  e.child <- None;
  e.due <- None;
  tell t e (Ended { ended; expected = not e.wanted });
  if e.wanted then
    after_end t e ~failed:(ended.status <> Status (Unix.WEXITED 0))
  else e.state <- Stopped;
  save t

let rec take_events t =
  match check t.ctx with
  | None -> ()
  | Some (Exited { tag; ended }) ->
      List.iter (fun e -> if e.number = tag then has_ended t e ended) t.entries;
      take_events t
  | Some _ -> take_events t

let run_timers t =
  List.iter
    (fun e ->
      (match (e.state, e.spec.readiness) with
      | Starting, File path when Sys.file_exists path -> is_ready t e
      | _ -> ());
      match (e.due, e.state) with
      | Some due, Waiting when now () >= due -> start_entry t e
      | Some due, Starting when now () >= due ->
          e.due <- None;
          tell t e Not_ready_in_time;
          terminate e
      | _ -> ())
    t.entries

(* A file that is awaited is looked for so often. *)
let look_for_files = 0.02

let patience t =
  let earliest a b = match a with None -> Some b | Some a -> Some (min a b) in
  let due =
    List.fold_left
      (fun due e ->
        let due = Option.fold ~none:due ~some:(earliest due) e.due in
        match (e.state, e.spec.readiness) with
        | Starting, File _ -> earliest due (now () +. look_for_files)
        | _ -> due)
      (List.fold_left earliest None t.alarms)
      t.entries
  in
  Option.map (fun due -> max 0. (due -. now ())) due

let tell_news t =
  let news =
    locked t @@ fun () ->
    let news = List.rev t.news in
    t.news <- [];
    news
  in
  List.iter
    (fun (name, news) ->
      try t.on_news name news
      with exn ->
        prerr_endline
          (Printf.sprintf "xlchild_supervisor: %s: %s" name
             (Printexc.to_string exn)))
    news

let turn t =
  let timeout, fds =
    locked t @@ fun () ->
    ( patience t,
      fileno t.ctx :: t.wake_r
      :: List.concat_map
           (fun e ->
             Option.to_list (Option.map (fun p -> p.source) e.pipe)
             @ Option.to_list e.ready)
           t.entries )
  in
  let readable = poll ?timeout fds in
  let is_readable fd = List.mem fd readable in
  locked t (fun () ->
      if is_readable t.wake_r then
        (try ignore (Unix.read t.wake_r buffer 0 512)
         with Unix.Unix_error _ -> ());
      List.iter
        (fun e ->
          (match e.pipe with
          | Some { source; _ } when is_readable source -> read_output t e
          | _ -> ());
          match e.ready with
          | Some fd when is_readable fd -> read_ready t e
          | _ -> ())
        t.entries;
      take_events t;
      run_timers t;
      Condition.broadcast t.changed);
  tell_news t

let rec serve t =
  if not (locked t (fun () -> t.closing)) then begin
    turn t;
    serve t
  end

(* ---- what the host calls ---- *)

let create ?state_folder ?(on_news = fun _ _ -> ()) () =
  let ctx = Xlchild.create () in
  let wake_r, wake_w = Unix.pipe ~cloexec:true () in
  Unix.set_nonblock wake_r;
  Unix.set_nonblock wake_w;
  let t =
    {
      ctx;
      folder = state_folder;
      on_news;
      lock = Mutex.create ();
      changed = Condition.create ();
      wake_r;
      wake_w;
      entries = [];
      previous = Option.fold ~none:[] ~some:load state_folder;
      news = [];
      alarms = [];
      closing = false;
      thread = None;
    }
  in
  t.thread <- Some (Thread.create serve t);
  t

let find t name = List.find_opt (fun e -> e.spec.name = name) t.entries

let fit name =
  name <> "" && name.[0] <> '.'
  && not (String.exists (fun c -> c = '/' || c <= ' ') name)

let adopt_entry t e (pid, start_time) =
  match
    adopt_result t.ctx
      (By_start_time { pid = Pid.of_int pid; start_time })
      ~report:(Event e.number)
  with
  | Result.Error _ -> false
  | Ok child ->
      e.child <- Some child;
      e.started_at <- now ();
      e.state <- Running;
      tell t e (Adopted pid);
      true

let next_number = Atomic.make 1

let add t spec =
  if not (fit spec.name) then invalid_arg "Xlchild_supervisor.add: the name";
  locked t (fun () ->
      if find t spec.name <> None then
        invalid_arg "Xlchild_supervisor.add: the name is taken";
      let e =
        {
          spec;
          number = Atomic.fetch_and_add next_number 1;
          sink = sink_of spec.output;
          pipe = open_pipe t.folder spec;
          state = Stopped;
          child = None;
          wanted = true;
          started_at = now ();
          failures = 0;
          due = None;
          ready = None;
          line = "";
        }
      in
      t.entries <- e :: t.entries;
      let before = List.assoc_opt spec.name t.previous in
      t.previous <- List.remove_assoc spec.name t.previous;
      match before with
      | Some identity when adopt_entry t e identity -> save t
      | Some _ | None -> start_entry t e);
  wake t

let known t name =
  match find t name with
  | Some e -> e
  | None -> invalid_arg ("Xlchild_supervisor: no service " ^ name)

let rec wait_until t condition =
  if not (condition ()) then begin
    Condition.wait t.changed t.lock;
    wait_until t condition
  end

let stop ?(wait = true) t name =
  locked t (fun () -> stop_entry (known t name));
  wake t;
  if wait then
    locked t (fun () ->
        let e = known t name in
        wait_until t (fun () -> e.state <> Stopping))

let start t name =
  locked t (fun () ->
      let e = known t name in
      match e.state with
      | Stopped | Failed ->
          e.wanted <- true;
          e.failures <- 0;
          start_entry t e
      | Starting | Running | Waiting | Stopping -> ());
  wake t

let state t name =
  locked t (fun () -> Option.map (fun e -> e.state) (find t name))

let pid t name =
  locked t (fun () ->
      Option.bind (find t name) (fun e ->
          Option.map (fun child -> (Child.pid child :> int)) e.child))

let await ?timeout t name state =
  let deadline = Option.map (fun s -> now () +. s) timeout in
  locked t @@ fun () ->
  let e = known t name in
  Option.iter
    (fun at ->
      t.alarms <- at :: t.alarms;
      wake t)
    deadline;
  wait_until t (fun () ->
      e.state = state
      || match deadline with Some at -> now () >= at | None -> false);
  Option.iter
    (fun at -> t.alarms <- List.filter (fun alarm -> alarm <> at) t.alarms)
    deadline;
  e.state = state

let close ?(leave = false) t =
  if not leave then begin
    locked t (fun () -> List.iter stop_entry t.entries);
    wake t;
    locked t (fun () ->
        wait_until t (fun () ->
            List.for_all (fun e -> e.state <> Stopping) t.entries))
  end;
  locked t (fun () -> t.closing <- true);
  wake t;
  Option.iter Thread.join t.thread;
  tell_news t;
  Xlchild.close t.ctx;
  List.iter
    (fun e ->
      forget_ready e;
      close_sink e.sink;
      Option.iter
        (fun { source; target } ->
          Unix.close source;
          Unix.close target)
        e.pipe)
    t.entries;
  Unix.close t.wake_r;
  Unix.close t.wake_w

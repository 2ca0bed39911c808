(* starting.ml - a fork server's starts, on one context of the process

   Called by xlchild_forkhelpers.ml. Every command is a held child of the
   context, whoever logs for it: what logs is a process of its own
   (xlchild.syslog). *)

open Xlchild

let default_path = [ "/sbin"; "/usr/sbin"; "/bin"; "/usr/bin" ]
let default_path_env_pair = [| "PATH=" ^ String.concat ":" default_path |]

(* ---- the context ---- *)

(* One a process: a child of fork that goes on gets its own. *)
let the_context : (int * Xlchild.t) option Atomic.t = Atomic.make None

(* A daemon may close every descriptor there is, and with them the context's:
   the next one works. *)
let is_usable ctx = disaster_latched ctx <> Some Fds_closed

let usable = function
  | Some (owner, ctx) when owner = Unix.getpid () && is_usable ctx -> Some ctx
  | _ -> None

let rec make () =
  let old = Atomic.get the_context in
  match usable old with
  | Some ctx -> ctx
  | None ->
      let ctx = create () in
      if Atomic.compare_and_set the_context old (Some (Unix.getpid (), ctx))
      then begin
        Option.iter (fun (_, old) -> ignore (close_result old)) old;
        ctx
      end
      else begin
        close ctx;
        make ()
      end

let context () =
  match usable (Atomic.get the_context) with
  | Some ctx -> ctx
  | None -> Xlchild_syslog.Elsewhere.run make

(* ---- what every command is started with ---- *)

let most_files = 1024

(* Old programs close every descriptor that they might have, or select() on
   them. *)
let limits () =
  match Rlimit.(current Open_files) with
  | { soft; hard; _ } when soft = Rlimit.unlimited || soft > most_files ->
      [ Rlimit.(make Open_files ~hard most_files) ]
  | _ -> []

(* Where the kernel refuses it once, it is not asked again. *)
let outside = Atomic.make None

let cgroup () =
  match Atomic.get outside with
  | Some answer -> answer
  | None ->
      let answer =
        Xlchild_syslog.(Elsewhere.run (fun () -> Outside.cgroup ()))
      in
      Atomic.set outside (Some answer);
      answer

let command_of ?cgroup ?(held = true) ~env ~fds program arguments =
  command ~env ~fds ?cgroup ~cwd:"/" ~session:New_session ~kill:(kill_at_once Process_group)
    ~flags:(if held then [ Ignore_sigpipe; Hold_pid ] else [ Ignore_sigpipe ]) ~rlimits:(limits ()) program arguments

(* [start] with a command that is made anew where it may not leave the
   daemon's cgroup. *)
let rec outside_if_it_may start make =
  let cgroup = cgroup () in
  match start (make ?cgroup ()) with
  | Result.Error { stage = Cgroup; _ } when cgroup <> None ->
      Atomic.set outside (Some None);
      outside_if_it_may start make
  | result -> result

(* ---- families of commands whose output is wanted ---- *)

let policy = Atomic.make Family.Never
let last_wait = 10. (* for who has been sent SIGKILL *)

let is_cut_short (result : (outcome, error) Result.t) =
  match result with Ok { ending = Timeout; _ } -> true | _ -> false

let is_ending family =
  match Family.look_result family with
  | Ok state -> state.ending
  | Result.Error _ -> false

let wait_for_the_last family =
  ignore (Family.wait_result ~timeout:last_wait family)

(* [start] as above, in a family beside the daemon's cgroup where there is one;
   whoever its end is under way for has gone afterwards. *)
let in_family policy ctx start make =
  Family.with_family ~policy ?cgroup_parent:(cgroup ()) ctx @@ fun family ->
  let make ?cgroup () =
    let cgroup = if Family.cgroup family = None then cgroup else None in
    in_family family (make ?cgroup ())
  in
  match outside_if_it_may start make with
  | result ->
      if is_cut_short result || is_ending family then wait_for_the_last family;
      result
  | exception exn ->
      let backtrace = Printexc.get_raw_backtrace () in
      ignore (Family.stop_result family);
      wait_for_the_last family;
      Printexc.raise_with_backtrace exn backtrace

let with_its_family ctx start make =
  match Atomic.get policy with
  | Family.Never -> outside_if_it_may start make
  | policy -> in_family policy ctx start make

(* ---- what cannot be started ---- *)

(* What the fork server's child exits with where it cannot execute. *)
let exit_code_of (e : error) ~program =
  match e with
  | _ when program = "" -> Some 127
  | { stage = Exec; errno = Some Unix.ENOENT; _ } -> Some 127
  | { stage = Exec; _ } -> Some 126
  | _ -> None

let is_open fd =
  match Unix.fstat fd with
  | _ -> true
  | exception Unix.Unix_error (Unix.EBADF, _, _) -> false
  | exception Unix.Unix_error _ -> true

let check_descriptors name fds =
  if not (List.for_all is_open fds) then
    raise (Unix.Unix_error (Unix.EBADF, name, ""))

let raise_error ~name (e : error) =
  match e with
  | { stage = Fds | Prepare | Argument; errno = Some Unix.EBADF; _ } ->
      raise (Unix.Unix_error (Unix.EBADF, name, ""))
  | e -> raise (Error e)

(* ---- arguments ---- *)

let ends_with suffix text =
  let n = String.length suffix and m = String.length text in
  n <= m && String.sub text (m - n) n = suffix

(* The name at the end of an argument gives way to the number: of several, the
   longest. *)
let numbered named argument =
  let better best (name, target, _) =
    match best with
    | Some (other, _) when String.length other >= String.length name -> best
    | _ when name <> "" && ends_with name argument -> Some (name, target)
    | _ -> best
  in
  match List.fold_left better None named with
  | None -> argument
  | Some (name, target) ->
      String.sub argument 0 (String.length argument - String.length name)
      ^ string_of_int target

(* ---- starting ---- *)

let source = function None -> Null | Some fd -> Fd fd

let start ~name ~env ~fds program arguments =
  let ctx = context () in
  let start command = start_result ctx command in
  match
    outside_if_it_may start (fun ?cgroup () ->
        command_of ?cgroup ~env ~fds program arguments)
  with
  | Ok child -> child
  | Result.Error e -> (
      match exit_code_of e ~program with
      | None -> raise_error ~name e
      | Some code -> (
          (* its place is taken by one that ends as it would have ended *)
          match
            start
              (command_of ~env:[] ~fds:Fd_map.empty "/bin/sh"
                 [ "-c"; "exit " ^ string_of_int code ])
          with
          | Ok child -> child
          | Result.Error _ -> raise_error ~name e))

(* Lines of what is written to the pipe go to syslog. *)
let with_log_pipe f =
  let open Xlchild_syslog in
  let reading = Elsewhere.nothing () and writing = Elsewhere.nothing () in
  let forward ~key ~pid =
    forward_held ~tag:(Printf.sprintf "%s[%d]" key pid) reading
  in
  match
    Elsewhere.pipe reading writing;
    f (Elsewhere.get writing) forward
  with
  | x ->
      Elsewhere.close writing;
      Elsewhere.close reading;
      x
  | exception exn ->
      Elsewhere.close writing;
      Elsewhere.close reading;
      raise exn

(* One that cannot be handed over: nobody could ask for it. *)
let abandon child =
  (match Child.kill_result ~scope:Process_group child Sys.sigkill with
  | Ok () | Result.Error _ -> ());
  ignore (Child.detach_result child)
